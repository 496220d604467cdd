import { type Db, join, sql } from '../../database.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

export type PoolRow = {
  readonly id: number;
  readonly team: string | null;
  readonly name: string;
  /** -1 = unlimited. */
  readonly slots: number;
  readonly description: string | null;
  readonly include_deferred: boolean;
  /** Sums of `pool_slots` by state, now. */
  readonly running_slots: number;
  readonly queued_slots: number;
  readonly scheduled_slots: number;
  readonly deferred_slots: number;
};

/**
 * Pool rows with live slot counts, as a FROM item named `pool`. Reads only unfinished task instances, through the partial
 * indexes, so history costs nothing.
 */
export const POOLS_WITH_SLOTS = sql`(SELECT p.id, p.team, p.name, p.slots, p.description, p.include_deferred,
    COALESCE(s.running, 0)::int AS running_slots, COALESCE(s.queued, 0)::int AS queued_slots,
    COALESCE(s.scheduled, 0)::int AS scheduled_slots, COALESCE(s.deferred, 0)::int AS deferred_slots
  FROM slot_pool p LEFT JOIN (
    SELECT pool, sum(pool_slots) FILTER (WHERE state IN ('running', 'restarting')) AS running,
      sum(pool_slots) FILTER (WHERE state = 'queued') AS queued,
      sum(pool_slots) FILTER (WHERE state = 'scheduled') AS scheduled,
      sum(pool_slots) FILTER (WHERE state = 'deferred') AS deferred
    FROM (
      SELECT pool, pool_slots, state FROM task_instance WHERE state IN ('queued', 'running', 'restarting', 'deferred')
      UNION ALL
      SELECT pool, pool_slots, state FROM task_instance WHERE state = 'scheduled'
    ) live GROUP BY pool
  ) s ON s.pool = p.name) pool`;

/** One pool by name; names are unique across teams, since Dags name pools without one. Locks nothing. */
export async function getPool(db: Db, name: string, visible: Visible): Promise<PoolRow | null> {
  const where = join([sql`name = ${name}`, ...visibleIn(sql`team`, visible)], ' AND ');
  const rows = await db.query<PoolRow>(sql`SELECT pool.* FROM ${POOLS_WITH_SLOTS} WHERE ${where}`);
  return rows[0] ?? null;
}
