import { type Db, sql } from '../../database.ts';

/**
 * Keeps one warning per Dag of which tasks wait for a pool that does not exist; it goes when they no longer do. Reads
 * scheduled task instances only. Locks: dag_warning rows.
 */
export async function refreshPoolWarnings(db: Db, nowIso: string): Promise<void> {
  await db.query(
    sql`WITH missing AS (
        SELECT t.dag_id, string_agg(DISTINCT t.pool, ', ' ORDER BY t.pool) AS pools FROM task_instance t
        WHERE t.state = 'scheduled' AND NOT EXISTS (SELECT 1 FROM slot_pool p WHERE p.name = t.pool)
        GROUP BY t.dag_id
      ), gone AS (
        DELETE FROM dag_warning w WHERE w.warning_type = 'non-existent pool'
          AND NOT EXISTS (SELECT 1 FROM missing m WHERE m.dag_id = w.dag_id)
      )
      INSERT INTO dag_warning (dag_id, warning_type, message, at)
      SELECT m.dag_id, 'non-existent pool', 'Tasks wait for pools that do not exist: ' || m.pools, ${nowIso}::timestamptz
      FROM missing m
      ON CONFLICT (dag_id, warning_type) DO UPDATE SET message = EXCLUDED.message`,
    'schedule_pool_warnings',
  );
}
