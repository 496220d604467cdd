/**
 * What a supervisor and the child that runs user code say to each other over descriptor 3 (a socket pair).
 * Frames: 4-byte big-endian length, then UTF-8 JSON. Everything from the child is untrusted: length, depth and shape
 * are checked before use, and a broken frame ends the child.
 */
import { z } from 'zod';
import { callbackOrder } from '../callbacks.ts';
import { dagWarnings } from '../dag/warning.ts';
import { inventory } from '../inventory.ts';
import { timetableAnswer, timetableAsk, timetablesFacts } from '../timetables.ts';
import { MAX_MODULE_CHARACTERS } from './frame-limits.ts';
import { LOG_LEVELS } from './log-levels.ts';
import { cancelTrigger, startTrigger, startTriggers, triggerNotices } from './trigger.ts';

export { MAX_CHILD_FRAME_BYTES, MAX_PARENT_FRAME_BYTES } from './frame-limits.ts';

export { LOG_LEVELS, type LogLevel } from './log-levels.ts';

/** The run that a task belongs to, as user code sees it. Instants are RFC 3339 UTC. */
export const runContext = z.strictObject({
  dag_id: z.string(),
  run_id: z.string(),
  task_id: z.string(),
  map_index: z.int().min(-1),
  try_number: z.int(),
  max_tries: z.int(),
  logical_date: z.string().nullable(),
  data_interval_start: z.string().nullable(),
  data_interval_end: z.string().nullable(),
  run_after: z.string(),
  run_type: z.string(),
  /** Defaults of the Dag's params with the run's conf laid over them is what `params` gives; this is the conf alone. */
  conf: z.record(z.string(), z.unknown()),
  /** Instant of the try's first start; kept over reschedules. */
  start_date: z.string(),
  reschedule_count: z.int(),
  /** Whether a failure of this try is followed by another one. */
  should_retry: z.boolean(),
  /** How the wait of a deferred task ended; absent = it has not waited. */
  resumed: z
    .union([z.strictObject({ event: z.unknown() }), z.strictObject({ failure: z.string(), timed_out: z.boolean() })])
    .optional(),
});
export type RunContext = z.infer<typeof runContext>;

/** Parent → runner: the one task of this process. Sent once; everything before it is idle waiting. */
export const startTask = z.strictObject({
  type: z.literal('start'),
  /** The bundled Dag module: ES module text and its SHA-256. */
  module: z.strictObject({ hash: z.string(), code: z.string(), filename: z.string() }),
  context: runContext,
  /** Private folder of this try, absolute, as the child sees it. */
  work_dir: z.string(),
});
/** Parent → parser child: the one file of this process. */
export const startParse = z.strictObject({
  type: z.literal('parse'),
  /** Root of the bundle and the file, absolute, as the child sees them. */
  bundle_root: z.string(),
  file: z.string(),
  relative_fileloc: z.string(),
  fileloc: z.string(),
  bundle_name: z.string(),
  /** `[dag_processor] disable_bundle_versioning`. */
  disable_bundle_versioning: z.boolean().optional(),
});
/** Parent → Python child: the one task of this process. The channel is closed after it. */
export const startPythonTask = z.strictObject({
  type: z.literal('python_task'),
  /** The workload as the Task SDK reads it, with a bearer that opens nothing but the relay of this try. */
  workload: z.record(z.string(), z.unknown()),
  /** Added to the environment before the Task SDK begins. */
  env: z.record(z.string(), z.string()),
});
const callbackFacts = callbackOrder.omit({ timeout_seconds: true, module: true });
/** Parent → runner: the one callback of this process. */
export const startCallback = z.strictObject({
  type: z.literal('start_callback'),
  module: z.strictObject({ hash: z.string(), code: z.string(), filename: z.string() }),
  order: callbackFacts,
  work_dir: z.string(),
});
/** Parent → Python child: the one callback of this process. */
export const startPythonCallback = z.strictObject({
  type: z.literal('python_callback'),
  order: callbackFacts,
  file: z.string(),
  bundle_root: z.string(),
  bundle_name: z.string(),
  bundle_version: z.string().nullable(),
  /** Of the relay: what the callback may ask the server for. */
  url: z.string(),
  bearer: z.string(),
  env: z.record(z.string(), z.string()),
});
/** A connection in the clear, for its test. */
export const testedConnection = z.strictObject({
  conn_id: z.string(),
  conn_type: z.string(),
  host: z.string().nullable(),
  login: z.string().nullable(),
  password: z.string().nullable(),
  schema: z.string().nullable(),
  port: z.int().nullable(),
  extra: z.string().nullable(),
});
/** Parent → Python child: the one connection that it tests. */
export const testConnection = z.strictObject({ type: z.literal('test_connection'), connection: testedConnection });
/** Parent → Python child: the one question to the one timetable of this process. */
export const askTimetable = z.strictObject({
  type: z.literal('ask_timetable'),
  bundle_root: z.string(),
  /** As the serialized Dag has it: `__type` names a class that a plugin registers. */
  timetable: z.strictObject({ __type: z.string(), __var: z.record(z.string(), z.unknown()) }),
  ask: timetableAsk,
});
/** Parent → child: answer to a request. */
export const answer = z.strictObject({
  type: z.literal('answer'),
  id: z.int(),
  value: z.unknown().optional(),
  error: z
    .strictObject({ status: z.int().nullable(), code: z.string(), message: z.string(), remedy: z.string().optional() })
    .optional(),
});
/** Parent → runner: stop now; `signal` of the task is aborted, and SIGKILL follows after the grace period. */
export const cancel = z.strictObject({ type: z.literal('cancel'), reason: z.string() });
export const toRunner = z.discriminatedUnion('type', [
  startTask,
  startParse,
  startPythonTask,
  startCallback,
  startPythonCallback,
  testConnection,
  askTimetable,
  startTriggers,
  startTrigger,
  cancelTrigger,
  answer,
  cancel,
]);

const id = z.int().min(0);
const xcomKey = z.string().min(1).max(512);
/** Runner → parent: requests; each is answered once, in any order. */
export const runnerRequest = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('get_variable'), id, key: z.string() }),
  z.strictObject({ type: z.literal('get_connection'), id, conn_id: z.string() }),
  /** One XCom of this run; value is the JSON value, or error 404. */
  z.strictObject({ type: z.literal('get_xcom'), id, task_id: z.string(), key: xcomKey, map_index: z.int().min(-1) }),
  /** All values of a mapped task, in order of map index; `[]` when there are none. */
  z.strictObject({ type: z.literal('get_xcom_slice'), id, task_id: z.string(), key: xcomKey }),
  z.strictObject({ type: z.literal('set_xcom'), id, key: xcomKey, value: z.unknown() }),
  /** What the task was called with, for people to read. */
  z.strictObject({ type: z.literal('set_rendered_fields'), id, fields: z.record(z.string(), z.unknown()) }),
  z.strictObject({ type: z.literal('skip_downstream'), id, tasks: z.array(z.string()) }),
]);
/** Runner → parent: no answer. */
export const runnerNotice = z.discriminatedUnion('type', [
  /** Sandbox applied, SDK or Airflow loaded, waiting for work. */
  z.strictObject({ type: z.literal('idle'), pid: z.int() }),
  z.strictObject({
    type: z.literal('log'),
    level: z.enum(LOG_LEVELS),
    event: z.string(),
    /** Epoch ms. */
    at_ms: z.number(),
    fields: z.record(z.string(), z.unknown()).optional(),
  }),
  /** The one outcome of a task. */
  z.strictObject({
    type: z.literal('result'),
    outcome: z.discriminatedUnion('state', [
      /** `value` absent = nothing to push; `mapped_length` = length when it is a list or object. */
      z.strictObject({
        state: z.literal('success'),
        value: z.unknown().optional(),
        has_value: z.boolean(),
        mapped_length: z.int().nullable(),
      }),
      z.strictObject({
        state: z.literal('failed'),
        /** False: an explicit "do not retry". */
        retryable: z.boolean(),
        error: z.strictObject({ name: z.string(), message: z.string(), stack: z.string() }),
        /** What the task's own policy says of the next try, if there is one. */
        retry: z
          .strictObject({ delay_seconds: z.number().min(0).max(1e9), reason: z.string().max(2000).nullable() })
          .optional(),
        /** It ended in a way that left the task no time for its own callbacks. */
        abrupt: z.boolean().optional(),
      }),
      z.strictObject({ state: z.literal('skipped'), reason: z.string() }),
      z.strictObject({ state: z.literal('reschedule'), after_seconds: z.number().positive() }),
      /** The task goes on when a trigger has an event. */
      z.strictObject({
        state: z.literal('deferred'),
        trigger: z.string().min(1).max(250),
        kwargs: z.record(z.string(), z.unknown()),
        timeout_seconds: z.number().positive().nullable(),
      }),
    ]),
  }),
  /** Parser: the file and these others have become one module; what comes after is the author's code. */
  z.strictObject({ type: z.literal('bundled'), inputs: z.array(z.string()) }),
  /** Of a parse in an archive, whose modules are unpacked by the child alone: the text, before any of it runs. */
  z.strictObject({ type: z.literal('source'), text: z.string().max(MAX_MODULE_CHARACTERS) }),
  /** The one outcome of a parse. */
  z.strictObject({
    type: z.literal('parsed'),
    /** Serialized Dag documents, as reference/serialized-dag.md section 1; unchecked until the server has seen them. */
    dags: z.array(z.unknown()),
    module: z.strictObject({ code: z.string() }).nullable(),
    source: z.string(),
    /** Further files of the bundle that went into the module, relative; a change in one re-parses this file. */
    inputs: z.array(z.string()),
    import_error: z
      .strictObject({
        message: z.string(),
        file: z.string(),
        line: z.int().nullable(),
        column: z.int().nullable(),
        hint: z.string(),
        stack: z.string(),
      })
      .nullable(),
    warnings: z.array(z.string()),
    dag_warnings: dagWarnings.optional(),
    /** Of the Dags whose timetable is the author's own class. */
    timetables: timetablesFacts.optional(),
  }),
  /** The one outcome of a child that asks a timetable. */
  z.strictObject({ type: z.literal('timetable_answered'), answer: timetableAnswer }),
  /** What the interpreter has of Airflow's extensions; the one outcome of a child that is asked for them. */
  inventory.extend({ type: z.literal('inventory') }),
  /** The one outcome of a connection test. */
  z.strictObject({ type: z.literal('connection_tested'), status: z.boolean(), message: z.string().max(2000) }),
  ...triggerNotices,
]);
export type ToRunner = z.infer<typeof toRunner>;
export type StartTask = z.infer<typeof startTask>;
export type StartCallback = z.infer<typeof startCallback>;
export type StartParse = z.infer<typeof startParse>;
export type Answer = z.infer<typeof answer>;
export type RunnerRequest = z.infer<typeof runnerRequest>;
export type RunnerNotice = z.infer<typeof runnerNotice>;
export type FromRunner = RunnerRequest | RunnerNotice;
export type TaskOutcome = Extract<RunnerNotice, { type: 'result' }>['outcome'];
export type ParseOutcome = Extract<RunnerNotice, { type: 'parsed' }>;
