import { type Db, sql } from '../../database.ts';

/**
 * Removes audit entries from before `before`: the beginning of the chain up to the first that is newer, so that what is left
 * is still a chain, whose beginning is noted. Entries that have no place yet stay. Nothing when another process links or
 * sweeps at this moment. Locks: the chain, then the rows. @returns how many went
 */
export async function deleteOldEvents(
  db: Db,
  options: { readonly before: string; readonly limit: number },
): Promise<number> {
  const rows = await db.query<{ n: number }>(
    sql`WITH chain AS (SELECT single FROM event_chain FOR NO KEY UPDATE SKIP LOCKED),
      first AS (SELECT l.seq, l.at FROM event_log l WHERE l.seq IS NOT NULL AND EXISTS (SELECT 1 FROM chain)
        ORDER BY l.seq LIMIT ${options.limit}),
      cut AS (SELECT COALESCE(min(seq) FILTER (WHERE at >= ${options.before}::timestamptz), max(seq) + 1) AS seq FROM first),
      gone AS (DELETE FROM event_log l USING cut WHERE l.seq < cut.seq RETURNING l.seq, l.hash),
      moved AS (UPDATE event_chain c SET base_seq = g.seq, base_hash = g.hash
        FROM (SELECT seq, hash FROM gone ORDER BY seq DESC LIMIT 1) g)
      SELECT count(*)::integer AS n FROM gone`,
  );
  return rows[0]!.n;
}
