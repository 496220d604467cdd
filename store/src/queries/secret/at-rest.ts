/** Sealed texts of variables, connections and triggers, by the key that sealed them. @see control/src/api/secrets/index.ts for their form */
import { type Db, type Sql, sql } from '../../database.ts';

export type SealedWith = {
  /** Id of the key; '' = stored as it is, `airflow` = a Fernet token of Airflow, `?` = something else. */
  readonly key: string;
  readonly texts: number;
};

const keyOf = (
  text: Sql,
): Sql => sql`CASE WHEN NOT is_encrypted THEN '' WHEN ${text} LIKE 'a1.%' THEN split_part(${text}, '.', 2)
  WHEN ${text} LIKE 'gAAAA%' THEN 'airflow' ELSE '?' END`;

/** How many texts each key has sealed; of connection tests only those that are still to be read. Locks nothing. */
export async function countSealedTexts(db: Db): Promise<SealedWith[]> {
  return db.query<SealedWith>(
    sql`SELECT key, count(*)::int AS texts FROM (
        SELECT ${keyOf(sql`val`)} AS key FROM variable
        UNION ALL SELECT ${keyOf(sql`password`)} FROM connection WHERE password IS NOT NULL
        UNION ALL SELECT ${keyOf(sql`extra`)} FROM connection WHERE extra IS NOT NULL
        UNION ALL SELECT ${keyOf(sql`password`)} FROM connection_test
          WHERE password IS NOT NULL AND state IN ('pending', 'queued', 'running')
        UNION ALL SELECT ${keyOf(sql`extra`)} FROM connection_test
          WHERE extra IS NOT NULL AND state IN ('pending', 'queued', 'running')
        UNION ALL SELECT ${keyOf(sql`kwargs`)} FROM trigger
      ) s GROUP BY key ORDER BY key`,
  );
}

export type OtherwiseSealed<T> = { readonly id: number; readonly name: string; readonly is_encrypted: boolean } & T;
/** Where a pass over a table stands. */
export type SealPage = { readonly keyId: string; readonly afterId: number; readonly limit: number };

/** Variables that this key has not sealed. Locks the rows; one that somebody writes just now is skipped: it is sealed anew anyway. */
export async function lockVariablesSealedOtherwise(
  db: Db,
  { keyId, afterId, limit }: SealPage,
): Promise<OtherwiseSealed<{ readonly val: string }>[]> {
  return db.query(
    sql`SELECT id, key AS name, val, is_encrypted FROM variable
      WHERE id > ${afterId} AND ${keyOf(sql`val`)} <> ${keyId} ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`,
  );
}

/** Connections with a text that this key has not sealed. Locks the rows, likewise. */
export async function lockConnectionsSealedOtherwise(
  db: Db,
  { keyId, afterId, limit }: SealPage,
): Promise<OtherwiseSealed<{ readonly password: string | null; readonly extra: string | null }>[]> {
  return db.query(
    sql`SELECT id, conn_id AS name, password, extra, is_encrypted FROM connection
      WHERE id > ${afterId} AND ((password IS NOT NULL AND ${keyOf(sql`password`)} <> ${keyId})
        OR (extra IS NOT NULL AND ${keyOf(sql`extra`)} <> ${keyId})) ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`,
  );
}

/** Triggers whose arguments this key has not sealed, by the try that waits. Locks the rows, likewise. */
export async function lockTriggersSealedOtherwise(
  db: Db,
  { keyId, afterId, limit }: SealPage,
): Promise<OtherwiseSealed<{ readonly kwargs: string }>[]> {
  return db.query(
    sql`SELECT id, ti_id AS name, kwargs, is_encrypted FROM trigger
      WHERE id > ${afterId} AND ${keyOf(sql`kwargs`)} <> ${keyId} ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`,
  );
}

/** Puts sealed texts into triggers whose rows the caller holds. */
export async function sealTriggers(
  db: Db,
  rows: ReadonlyArray<{ readonly id: number; readonly kwargs: string }>,
): Promise<void> {
  await db.query(
    sql`UPDATE trigger g SET kwargs = n.kwargs, is_encrypted = true
      FROM unnest(${rows.map(({ id }) => id)}::bigint[], ${rows.map(({ kwargs }) => kwargs)}::text[]) AS n (id, kwargs)
      WHERE g.id = n.id`,
  );
}

/** Puts sealed texts into variables whose rows the caller holds. */
export async function sealVariables(
  db: Db,
  rows: ReadonlyArray<{ readonly id: number; readonly val: string }>,
): Promise<void> {
  await db.query(
    sql`UPDATE variable v SET val = n.val, is_encrypted = true
      FROM unnest(${rows.map(({ id }) => id)}::bigint[], ${rows.map(({ val }) => val)}::text[]) AS n (id, val)
      WHERE v.id = n.id`,
  );
}

/** Puts sealed texts into connections whose rows the caller holds. */
export async function sealConnections(
  db: Db,
  rows: ReadonlyArray<{ readonly id: number; readonly password: string | null; readonly extra: string | null }>,
): Promise<void> {
  await db.query(
    sql`UPDATE connection c SET password = n.password, extra = n.extra, is_encrypted = true
      FROM unnest(${rows.map(({ id }) => id)}::bigint[], ${rows.map(({ password }) => password)}::text[],
        ${rows.map(({ extra }) => extra)}::text[]) AS n (id, password, extra)
      WHERE c.id = n.id`,
  );
}
