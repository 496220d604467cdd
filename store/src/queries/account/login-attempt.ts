import { type Db, sql } from '../../database.ts';

/** What a log-in is counted under: fingerprints, never names. */
export type LoginKeys = readonly string[];

/**
 * Until when a log-in under one of these keys is refused, because it failed `limit` times since `sinceIso`: the instant of the
 * oldest of these attempts. Null when none is. Locks nothing.
 */
export async function oldestOfTooMany(
  db: Db,
  options: { readonly keys: LoginKeys; readonly sinceIso: string; readonly limit: number },
): Promise<string | null> {
  const rows = await db.query<{ at: string | null }>(
    sql`SELECT max(oldest) AS at FROM (
        SELECT min(at) AS oldest FROM login_attempt
        WHERE key = ANY(${options.keys}) AND at > ${options.sinceIso}::timestamptz
        GROUP BY key HAVING count(*) >= ${options.limit}
      ) AS full_keys`,
    'login_attempt_oldest',
  );
  return rows[0]?.at ?? null;
}

/** Makes others who count under these keys wait until the transaction ends. Locks: one advisory lock per key, in order. */
export async function lockLoginKeys(tx: Db, keys: LoginKeys): Promise<void> {
  await tx.query(
    sql`SELECT pg_advisory_xact_lock(lock) FROM (
        SELECT DISTINCT hashtextextended('login ' || key, 0) AS lock FROM unnest(${keys}::text[]) AS key ORDER BY lock
      ) AS locks`,
    'login_attempt_lock',
  );
}

/** Counts one attempt under each key. Locks: the new rows. */
export async function insertLoginAttempt(
  db: Db,
  attempt: { readonly id: string; readonly keys: LoginKeys; readonly atIso: string },
): Promise<void> {
  await db.query(
    sql`INSERT INTO login_attempt (id, key, at)
      SELECT ${attempt.id}::uuid, key, ${attempt.atIso}::timestamptz FROM unnest(${attempt.keys}::text[]) AS key`,
    'login_attempt_insert',
  );
}

/** Forgets one attempt. Locks: its rows. */
export async function deleteLoginAttempt(db: Db, id: string): Promise<void> {
  await db.query(sql`DELETE FROM login_attempt WHERE id = ${id}::uuid`, 'login_attempt_delete');
}
