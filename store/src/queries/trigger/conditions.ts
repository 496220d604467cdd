/** When the row of a trigger counts, and who may take it: conditions on `trigger g`. */
import { type Sql, sql } from '../../database.ts';

/** The assets `a` for which it watches: in use, and named with it by an unpaused Dag `d` of its team. */
export const WATCHED_ASSETS: Sql = sql`FROM asset_watcher w JOIN dag d ON d.dag_id = w.dag_id JOIN asset a ON a.id = w.asset_id
  WHERE w.trigger_id = g.id AND a.active AND NOT d.is_paused AND NOT d.is_stale AND d.team IS NOT DISTINCT FROM g.team`;

/** There is such an asset: events are wanted. */
export const WATCHED: Sql = sql`EXISTS (SELECT 1 ${WATCHED_ASSETS})`;

/**
 * This triggerer has it, or one that ended or fell silent. Its owner is a scalar subquery and no join: when a row turns out to
 * have changed, PostgreSQL looks at the new row again, but not at what was joined to the old one, and a row that another took in
 * between would count as free.
 */
export function freeOfOwner(o: { readonly supervisorId: string; readonly seenBeforeIso: string }): Sql {
  return sql`(g.supervisor_id = ${o.supervisorId}::uuid OR NOT COALESCE((
    SELECT s.ended_at IS NULL AND s.last_seen_at >= ${o.seenBeforeIso}::timestamptz
    FROM supervisor s WHERE s.id = g.supervisor_id), false))`;
}

/** @param queues null = triggers of no queue only. One text for both, since the statement has a name. */
export function inQueues(queues: readonly string[] | null): Sql {
  const given = queues === null ? null : [...queues];
  return sql`(CASE WHEN ${given}::text[] IS NULL THEN g.queue IS NULL ELSE g.queue = ANY(${given}::text[]) END)`;
}

/** This triggerer, which has not ended, runs it. */
export function runBy(supervisorId: string): Sql {
  return sql`EXISTS (SELECT 1 FROM supervisor s WHERE s.id = g.supervisor_id AND s.id = ${supervisorId}::uuid AND s.ended_at IS NULL)`;
}
