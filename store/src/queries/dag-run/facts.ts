import { type Sql, sql } from '../../database.ts';

/** What a task is told about a run. */
export type RunFacts = {
  readonly dag_id: string;
  readonly run_id: string;
  readonly logical_date: string | null;
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
  readonly run_after: string;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly clear_number: number;
  readonly run_type: string;
  readonly state: string;
  /** JSON text. */
  readonly conf: string;
  readonly triggering_user_name: string | null;
  readonly partition_key: string | null;
  readonly partition_date: string | null;
  readonly note: string | null;
};

/** `RunFacts` as one JSON value, from `dag_run r`. */
export const RUN_FACTS: Sql = sql`json_build_object('dag_id', r.dag_id, 'run_id', r.run_id, 'logical_date', r.logical_date,
  'data_interval_start', r.data_interval_start, 'data_interval_end', r.data_interval_end, 'run_after', r.run_after,
  'start_date', r.start_date, 'end_date', r.end_date, 'clear_number', r.clear_number, 'run_type', r.run_type,
  'state', r.state, 'conf', r.conf::text, 'triggering_user_name', r.triggering_user_name, 'partition_key', r.partition_key,
  'partition_date', r.partition_date, 'note', r.note)`;
