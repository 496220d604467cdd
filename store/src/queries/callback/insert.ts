import { type Db, sql } from '../../database.ts';

export type CallbackKind = 'dag' | 'task' | 'deadline';
export type CallbackEvent = 'success' | 'failure' | 'retry' | 'missed';

/** The task instance that a callback is about. */
export type CallbackTi = {
  readonly id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly max_tries: number;
  readonly dag_version_id: string;
  readonly queue: string;
  readonly hostname: string | null;
  readonly state: string | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
};

/** By its present id, or of the run's in this state the one that ended last, and of several the one that began last. */
export type CallbackSubject = { readonly id: string } | { readonly state: 'success' | 'failed' | 'skipped' };

export type NewCallback = {
  readonly id: string;
  readonly kind: CallbackKind;
  readonly event: CallbackEvent;
  readonly dag_run_id: number;
  readonly dag_version_id: string;
  readonly queue: string;
  readonly needs: string | null;
  /** About which task instance it is, as that is in this transaction; null = about none. */
  readonly about: CallbackSubject | null;
  readonly reason: string | null;
  /** What a deadline calls; null for the others. */
  readonly target: unknown;
};

/** Longest reason that is kept. */
export const MAX_CALLBACK_REASON = 2000;

/**
 * Callbacks to be run, with the task instance that each is about. Wakes those who hand them out. Locks: none beyond the new rows.
 */
export async function insertCallbacks(db: Db, rows: readonly NewCallback[], nowIso: string): Promise<void> {
  if (rows.length === 0) return;
  await db.query(
    sql`WITH added AS (
        INSERT INTO callback (id, kind, event, team, dag_id, dag_run_id, dag_version_id, queue, needs, ti, reason, target,
          state, created_at)
        SELECT x.id, x.kind, x.event, r.team, r.dag_id, r.id, x.dag_version_id, x.queue, x.needs,
          (SELECT json_build_object('id', t.id, 'task_id', t.task_id, 'map_index', t.map_index, 'try_number', t.try_number,
              'max_tries', t.max_tries, 'dag_version_id', t.dag_version_id, 'queue', t.queue, 'hostname', t.hostname,
              'state', t.state, 'start_date', t.start_date, 'end_date', t.end_date)
            FROM task_instance t
            WHERE t.dag_run_id = r.id AND (t.id::text = x.about ->> 'id' OR t.state = x.about ->> 'state')
            ORDER BY t.end_date DESC NULLS LAST, t.start_date DESC NULLS LAST, t.id DESC LIMIT 1),
          left(x.reason, ${MAX_CALLBACK_REASON}), x.target, 'pending', ${nowIso}::timestamptz
        FROM json_to_recordset(${JSON.stringify(rows)}::json) AS x (id uuid, kind text, event text, dag_run_id bigint,
          dag_version_id uuid, queue text, needs text, about jsonb, reason text, target json)
        JOIN dag_run r ON r.id = x.dag_run_id
        RETURNING id)
      SELECT pg_notify('airlock', 'callback') FROM (SELECT count(*) AS n FROM added) a WHERE a.n > 0`,
    'callback_insert',
  );
}
