import { type Db, sql } from '../../database.ts';

/** What limits one task instance, and how much of it is taken now. */
export type Room = {
  readonly pool: string;
  readonly pool_slots: number;
  /** -1 = unlimited; null = there is no such pool for this team. */
  readonly pool_size: number | null;
  readonly pool_taken: number;
  readonly max_active_tasks: number;
  readonly active_in_run: number;
  readonly max_active_per_dag: number | null;
  readonly active_per_dag: number;
  readonly max_active_per_run: number | null;
  readonly active_per_run: number;
};

/** The limits by which `findCandidates` decides, of one task instance. Locks nothing. */
export async function roomOf(db: Db, id: string): Promise<Room | null> {
  const rows = await db.query<Room>(
    sql`SELECT t.pool, t.pool_slots, p.slots AS pool_size,
        COALESCE((SELECT sum(a.pool_slots) FROM task_instance a WHERE a.pool = t.pool
          AND (a.state IN ('queued', 'running') OR (a.state = 'deferred' AND p.include_deferred))), 0)::integer AS pool_taken,
        d.max_active_tasks,
        (SELECT count(*) FROM task_instance a WHERE a.dag_run_id = t.dag_run_id AND a.state IN ('queued', 'running'))::integer
          AS active_in_run,
        t.max_active_per_dag,
        (SELECT count(*) FROM task_instance a WHERE a.dag_id = t.dag_id AND a.task_id = t.task_id
          AND a.state IN ('queued', 'running', 'deferred', 'awaiting_input'))::integer AS active_per_dag,
        t.max_active_per_run,
        (SELECT count(*) FROM task_instance a WHERE a.dag_run_id = t.dag_run_id AND a.task_id = t.task_id
          AND a.state IN ('queued', 'running', 'deferred', 'awaiting_input'))::integer AS active_per_run
      FROM task_instance t JOIN dag d ON d.dag_id = t.dag_id
      LEFT JOIN slot_pool p ON p.name = t.pool AND (p.team IS NULL OR p.team = t.team)
      WHERE t.id = ${id}`,
    'schedule_room',
  );
  return rows[0] ?? null;
}
