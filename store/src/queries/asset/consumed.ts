import { type Sql, sql } from '../../database.ts';

/** An event, as the tasks of the run that it made are told of it. */
export type ConsumedEvent = {
  /** `extra`, here and there: JSON text. */
  readonly asset: { readonly name: string; readonly uri: string; readonly extra: string };
  readonly extra: string;
  readonly source_task_id: string | null;
  readonly source_dag_id: string | null;
  readonly source_run_id: string | null;
  readonly source_map_index: number;
  readonly source_aliases: ReadonlyArray<{ readonly name: string }>;
  readonly timestamp: string;
  readonly partition_key: string | null;
};

/** `ConsumedEvent`s of `dag_run r`, oldest first; looked for only where a run can have any. */
export const CONSUMED_EVENTS: Sql = sql`CASE WHEN r.run_type = 'asset_triggered' THEN (
    SELECT COALESCE(json_agg(json_build_object('asset', json_build_object('name', a.name, 'uri', a.uri, 'extra', a.extra::text),
      'extra', e.extra::text, 'source_task_id', e.source_task_id, 'source_dag_id', e.source_dag_id,
      'source_run_id', e.source_run_id, 'source_map_index', e.source_map_index,
      'source_aliases', COALESCE((SELECT json_agg(json_build_object('name', l.name) ORDER BY l.name)
        FROM asset_event_alias y JOIN asset_alias l ON l.id = y.alias_id WHERE y.event_id = e.id), '[]'),
      'timestamp', e.at, 'partition_key', e.partition_key) ORDER BY e.at, e.id), '[]')
    FROM dag_run_asset_event x JOIN asset_event e ON e.id = x.event_id JOIN asset a ON a.id = e.asset_id
    WHERE x.dag_run_id = r.id) ELSE '[]' END`;
