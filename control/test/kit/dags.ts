/** Small Dags as documents, and their way into a database, for tests of services and scheduler. */
import { createHash } from 'node:crypto';
import type { ParseReport } from '@airlock/contract/supervisor-api';
import { type Database, sql } from '@airlock/store';
import { ingestParseReport } from '../../src/runs/index.ts';

export type TaskSpec = { readonly id: string; readonly after?: readonly string[]; readonly [field: string]: unknown };

/** A Dag document of TypeScript tasks: `after` names upstream tasks; other fields go into the task as they are. */
export function dagDocument(dagId: string, tasks: readonly TaskSpec[], dag: Readonly<Record<string, unknown>> = {}) {
  const downstream = (id: string) => tasks.filter((task) => task.after?.includes(id)).map((task) => task.id);
  return {
    __version: 3,
    dag: {
      dag_id: dagId,
      fileloc: `/dags/${dagId}.ts`,
      relative_fileloc: `${dagId}.ts`,
      timezone: 'UTC',
      timetable: { __type: 'airflow.timetables.simple.NullTimetable', __var: {} },
      catchup: false,
      is_paused_upon_creation: false,
      tasks: tasks.map(({ id, after: _after, ...fields }) => ({
        __type: 'operator',
        __var: {
          task_id: id,
          task_type: 'TypeScriptOperator',
          _task_module: 'airlock.sdk',
          queue: 'typescript',
          downstream_task_ids: downstream(id),
          __airlock_needs: '{"assets":[],"connections":[],"dags":[],"variables":[],"xcoms":[]}',
          ...fields,
        },
      })),
      ...dag,
    },
  };
}

/** The mapping field of a task that runs once per element of the result of another. */
export function mappedOver(taskId: string) {
  return {
    _is_mapped: true,
    _expand_input_attr: 'expand_input',
    partial_kwargs: {},
    expand_input: {
      type: 'dict-of-lists',
      value: {
        __type: 'dict',
        __var: { item: { __type: 'xcomref', __var: { task_id: taskId, key: 'return_value' } } },
      },
    },
  };
}

export function reportOf(file: string, documents: readonly unknown[], over: Partial<ParseReport> = {}): ParseReport {
  const code = `export default ${JSON.stringify(file)}`;
  const hash = createHash('sha256').update(code).digest('hex');
  return {
    relative_fileloc: file,
    inputs_digest: createHash('sha256').update(JSON.stringify(documents)).digest('hex'),
    dags: [...documents],
    module: { hash, code },
    source: `// ${file}`,
    import_error: null,
    warnings: [],
    parse_seconds: 0.01,
    ...over,
  };
}

export const DEFAULTS = {
  pausedAtCreation: true,
  maxActiveRuns: 16,
  maxActiveTasks: 16,
  maxConsecutiveFailedDagRuns: 0,
};

/** Makes the bundle `dags-folder` if it is missing. */
export async function withBundle(db: Database): Promise<void> {
  await db.query(
    sql`INSERT INTO dag_bundle (name, kind, path) VALUES ('dags-folder', 'local', '/dags') ON CONFLICT DO NOTHING`,
  );
}

/** Reports one file, as a dag-processor would. */
export function ingest(
  db: Database,
  file: string,
  documents: readonly unknown[],
  nowIso: string,
  over: Partial<ParseReport> = {},
) {
  return db.transaction((tx) =>
    ingestParseReport(tx, {
      bundleName: 'dags-folder',
      report: reportOf(file, documents, over),
      nowIso,
      defaults: DEFAULTS,
    }),
  );
}
