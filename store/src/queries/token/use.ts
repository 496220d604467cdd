import { type Db, sql } from '../../database.ts';
import { type CallerKey, liveCondition, tokenUse } from './caller.ts';
import { relaxedUnless } from './relaxed.ts';

/** What a refresh needs: the successor that the row names now. */
export type TokenState = {
  readonly execution_jti: string | null;
  readonly execution_jti_next: string | null;
  readonly execution_next_at: string | null;
  readonly deadline_at: string | null;
};

/**
 * Records one use of a live execution token and, when `successorJti` is given, names its successor. Locks: the row.
 * @returns null when the token is not live any more: then nothing was changed, and nothing may be handed out.
 */
export async function recordTokenUse(
  db: Db,
  key: CallerKey & { successorJti: string | null; overlapUntilIso: string },
): Promise<TokenState | null> {
  const rows = await db.query<TokenState>(
    sql`WITH ${relaxedUnless(key.successorJti !== null)}
      UPDATE task_instance t SET ${tokenUse({
        jti: sql`${key.jti}::text`,
        successorJti: sql`${key.successorJti}::text`,
        now: sql`${key.nowIso}::timestamptz`,
        overlapUntil: sql`${key.overlapUntilIso}::timestamptz`,
      })} FROM relaxed
      WHERE t.id = ${key.id} AND ${liveCondition(key)}
      RETURNING t.execution_jti, t.execution_jti_next, t.execution_next_at, t.deadline_at`,
    'token_use',
  );
  return rows[0] ?? null;
}

/** Takes every execution token from a running try, because an old one was used again long after its end. Locks: the row. */
export async function endTokenFamily(db: Db, which: { id: string; jti: string }): Promise<void> {
  await db.query(
    sql`UPDATE task_instance SET execution_jti = NULL, execution_jti_next = NULL, execution_jti_prev = NULL
      WHERE id = ${which.id} AND execution_jti_prev = ${which.jti}`,
    'token_end_family',
  );
}
