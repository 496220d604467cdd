import { type Db, type Sql, sql } from '../../database.ts';

/** The pool `p` of the task instance `t`; joined on the left, since it may be missing, or another team's. */
export const OWN_POOL: Sql = sql`slot_pool p ON p.name = t.pool AND (p.team IS NULL OR p.team = t.team)`;

/** `OwnLimits` of the task instance `t` with its pool `p`. */
export const OWN_LIMITS: Sql = sql`t.pool, t.pool_slots, p.slots AS pool_size,
  COALESCE((SELECT sum(a.pool_slots) FROM task_instance a WHERE a.pool = t.pool
    AND (a.state IN ('queued', 'running') OR (a.state = 'deferred' AND p.include_deferred))), 0)::integer AS pool_taken,
  t.max_active_per_dag,
  (SELECT count(*) FROM task_instance a WHERE a.dag_id = t.dag_id AND a.task_id = t.task_id
    AND a.state IN ('queued', 'running', 'deferred', 'awaiting_input'))::integer AS active_per_dag,
  t.max_active_per_run,
  (SELECT count(*) FROM task_instance a WHERE a.dag_run_id = t.dag_run_id AND a.task_id = t.task_id
    AND a.state IN ('queued', 'running', 'deferred', 'awaiting_input'))::integer AS active_per_run`;

/** Limits of a task instance's own, and how much of them is taken now. */
export type OwnLimits = {
  readonly pool: string;
  readonly pool_slots: number;
  /** -1 = unlimited; null = there is no such pool for this team. */
  readonly pool_size: number | null;
  readonly pool_taken: number;
  readonly max_active_per_dag: number | null;
  readonly active_per_dag: number;
  readonly max_active_per_run: number | null;
  readonly active_per_run: number;
};

/** What limits one task instance, with the limit of its run. */
export type Room = OwnLimits & {
  readonly max_active_tasks: number;
  readonly active_in_run: number;
};

/** The limits by which `findCandidates` decides, of one task instance. Locks nothing. */
export async function roomOf(db: Db, id: string): Promise<Room | null> {
  const rows = await db.query<Room>(
    sql`SELECT ${OWN_LIMITS}, d.max_active_tasks,
        (SELECT count(*) FROM task_instance a WHERE a.dag_run_id = t.dag_run_id AND a.state IN ('queued', 'running'))::integer
          AS active_in_run
      FROM task_instance t JOIN dag d ON d.dag_id = t.dag_id
      LEFT JOIN ${OWN_POOL}
      WHERE t.id = ${id}`,
    'schedule_room',
  );
  return rows[0] ?? null;
}
