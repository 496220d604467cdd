/**
 * Callbacks that the server starts: of a Dag whose run has ended, of a task whose try ended without being able to say so
 * itself, and of a deadline that was missed. Each is a workload of its own. Below `/execution`, with `callback_id` the
 * subject of both tokens:
 *
 * - `PATCH /callbacks/{id}/run` (workload token): starts it; 200 `callbackOrder` and the one execution token, which is not
 *   renewed. The same process may repeat it for a minute.
 * - `GET /callbacks/{id}/variables/{key}`, `GET /callbacks/{id}/connections/{conn_id}` (execution token): what it may read.
 * - `GET` and `HEAD /callbacks/{id}/xcoms/{dag_id}/{run_id}/{task_id}/{key}`, with the answers of the route for tries: values of its own run.
 * - `PATCH /callbacks/{id}/state` (execution token) `callbackReport`: ends it. 204; 200 for the same report again.
 */
import { z } from 'zod';
import { pinnedGitSource } from './git-source.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
const instant = z.string().nullable();

/** Airflow's ExecuteCallback workload, with one block of ours. */
export const executeCallbackWorkload = z.strictObject({
  type: z.literal('ExecuteCallback'),
  token: z.string(),
  dag_rel_path: z.string(),
  bundle_info: z.strictObject({ name: z.string(), version: z.string().nullable() }),
  log_path: z.string(),
  callback: z.strictObject({
    id: uuid,
    fetch_method: z.enum(['import_path', 'dag_attribute']),
    data: z.strictObject({ path: z.string(), kwargs: z.record(z.string(), z.unknown()) }),
  }),
  airlock: z.strictObject({
    runtime: z.enum(['typescript', 'python']),
    /** Of a Python Dag: the folder of its bundle, empty for git; null = it is not configured any more. */
    bundle_path: z.string().nullable(),
    /** Instead of the folder: where the files of `bundle_info.version` come from. */
    git: pinnedGitSource.nullish(),
  }),
});
export type ExecuteCallbackWorkload = z.infer<typeof executeCallbackWorkload>;

export const CALLBACK_KINDS = ['dag', 'task', 'deadline'] as const;
export const CALLBACK_EVENTS = ['success', 'failure', 'retry', 'missed'] as const;

/** The run, as every task is told it. */
const dagRun = z.looseObject({
  dag_id: z.string(),
  run_id: z.string(),
  logical_date: instant,
  data_interval_start: instant,
  data_interval_end: instant,
  run_after: z.string(),
  run_type: z.string(),
  state: z.string(),
  conf: z.unknown(),
});

/** The task instance that a callback is about, as it was then. */
const callbackTi = z.strictObject({
  id: uuid,
  task_id: z.string(),
  map_index: z.int(),
  try_number: z.int(),
  max_tries: z.int(),
  dag_version_id: uuid,
  queue: z.string(),
  hostname: z.string().nullable(),
  state: z.string().nullable(),
  start_date: instant,
  end_date: instant,
});

/** What is called when a deadline is missed, and which deadline it was. */
export const callbackTarget = z.strictObject({
  path: z.string(),
  kwargs: z.record(z.string(), z.unknown()),
  /** The function is a coroutine function. */
  asynchronous: z.boolean(),
  deadline: z.strictObject({
    id: uuid,
    name: z.string().nullable(),
    /** Place among the Dag's deadlines. */
    position: z.int(),
    deadline_time: z.string(),
  }),
});
export type CallbackTarget = z.infer<typeof callbackTarget>;

export const callbackOrder = z.strictObject({
  kind: z.enum(CALLBACK_KINDS),
  event: z.enum(CALLBACK_EVENTS),
  reason: z.string().nullable(),
  /** From now on, seconds; then the token is dead and the process is to be killed. */
  timeout_seconds: z.number(),
  dag_run: dagRun,
  ti: callbackTi.nullable(),
  target: callbackTarget.nullable(),
  /** The bundled module of a TypeScript Dag. */
  module: z.strictObject({ hash: z.string(), code: z.string() }).nullable(),
});
export type CallbackOrder = z.infer<typeof callbackOrder>;

export const MAX_CALLBACK_OUTPUT = 65_536;
export const callbackReport = z.strictObject({
  state: z.enum(['success', 'failed']),
  message: z.string().max(2000).nullable(),
  /** The end of what it printed, masked. */
  output: z.string().max(MAX_CALLBACK_OUTPUT),
});
export type CallbackReport = z.infer<typeof callbackReport>;
