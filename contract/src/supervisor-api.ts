/**
 * The routes of the Execution API that Airflow does not have: how our own supervisors join, take workloads, report parsed
 * files and append logs. All live below `/execution` and need `Authorization: DPoP <token>` with a `DPoP` proof (RFC 9449)
 * made by the key that the supervisor registered. Paths are listed in `SUPERVISOR_ROUTES`.
 */
import { z } from 'zod';
import { executeCallbackWorkload } from './callbacks.ts';
import { publicJwk } from './claims.ts';
import { needs } from './dag/needs.ts';
import { dagWarnings } from './dag/warning.ts';
import { gitSource, pinnedGitSource } from './git-source.ts';
import { SANDBOX_TIERS } from './sandbox-tiers.ts';
import { timetableAsk, timetablesFacts } from './timetables.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);

export const SUPERVISOR_ROLES = ['worker', 'parse', 'trigger'] as const;
export type SupervisorRole = (typeof SUPERVISOR_ROLES)[number];
export { SANDBOX_TIERS, type SandboxTier } from './sandbox-tiers.ts';

/** POST /supervisors: joins with a one-time ticket (no token yet; the proof is made with the key in the body). */
export const registerRequest = z.strictObject({
  ticket: z.string().min(40).max(200),
  public_jwk: publicJwk,
  hostname: z.string().min(1).max(255),
  unixname: z.string().min(1).max(255),
  pid: z.int(),
  roles: z.array(z.enum(SUPERVISOR_ROLES)).min(1).max(3),
  sandbox_tier: z.enum(SANDBOX_TIERS),
  version: z.string().max(64),
});
/** 201. `tokens` has one entry per role; each lives 300 s and is renewed by `Refreshed-API-Token` on 2xx answers. */
export const registerAnswer = z.strictObject({
  supervisor_id: uuid,
  tokens: z.partialRecord(z.enum(SUPERVISOR_ROLES), z.string()),
});

/**
 * PUT /supervisors/{id}/heartbeat, by any of its tokens, each 5 s: 204.
 * A supervisor silent for `[scheduler] scheduler_health_check_threshold` counts as dead, and its running tries are reaped.
 */
export const supervisorHeartbeat = z.strictObject({
  /** The role of the token. */
  role: z.enum(SUPERVISOR_ROLES),
  /** Further roles of the same supervisor that are alive: one request each 5 s is enough for all. */
  also: z.array(z.enum(SUPERVISOR_ROLES)).max(SUPERVISOR_ROLES.length).default([]),
  /** Try ids that this worker holds now; a try that the server gave to it and that is missing here has died with a process. */
  holds: z.array(uuid).max(10_000).default([]),
});

/** POST /workloads/claim (worker token): waits up to `wait_seconds` for queued task instances, then answers 200. */
export const claimRequest = z.strictObject({
  slots: z.int().min(1).max(1000),
  /** Queues served; `*` = every queue. */
  queues: z.array(z.string().min(1).max(256)).min(1).max(100),
  wait_seconds: z.int().min(0).max(30),
});
/** Airflow's ExecuteTask workload, with one block of ours that the Task SDK ignores. */
export const executeTaskWorkload = z.strictObject({
  type: z.literal('ExecuteTask'),
  token: z.string(),
  ti: z.strictObject({
    id: uuid,
    task_id: z.string(),
    dag_id: z.string(),
    run_id: z.string(),
    try_number: z.int(),
    dag_version_id: uuid,
    map_index: z.int(),
    hostname: z.string().nullable(),
    context_carrier: z.null(),
    queue: z.string(),
    pool_slots: z.int(),
    priority_weight: z.int(),
  }),
  dag_rel_path: z.string(),
  bundle_info: z.strictObject({ name: z.string(), version: z.string().nullable() }),
  log_path: z.string(),
  sentry_integration: z.literal(''),
  /** Absent for the queues of `[workers] command`, whose programs run a workload by themselves. */
  airlock: z
    .discriminatedUnion('runtime', [
      z.strictObject({
        runtime: z.literal('typescript'),
        module_hash: z.string(),
        /** Seconds; null = none. The server bounds the try by it too. */
        execution_timeout: z.number().nullable(),
        needs,
        workload_jti: z.string(),
      }),
      z.strictObject({
        runtime: z.literal('python'),
        /** Folder of the bundle, as the server knows it; the worker must have it under the same name. */
        bundle_path: z.string(),
        /** Instead of the folder: where the files of `bundle_info.version` come from. */
        git: pinnedGitSource.nullish(),
        execution_timeout: z.number().nullable(),
        workload_jti: z.string(),
      }),
    ])
    .optional(),
});
/** Airflow's TestConnection workload, bound to the worker's key; it takes no slot of tasks. */
export const testConnectionWorkload = z.strictObject({
  type: z.literal('TestConnection'),
  token: z.string(),
  connection_test_id: uuid,
  connection_id: z.string(),
  /** Seconds from the start of its child. */
  timeout: z.number().positive(),
});
export type TestConnectionWorkload = z.infer<typeof testConnectionWorkload>;
export const workload = z.discriminatedUnion('type', [
  executeTaskWorkload,
  executeCallbackWorkload,
  testConnectionWorkload,
]);
export const claimAnswer = z.strictObject({ workloads: z.array(workload) });

/**
 * POST /workloads/{ti_id}/exit (worker token): the process of a workload has ended. 204, also when nothing is left to do.
 * Names the workload's `jti`, so that a late one never touches the next stretch of the same try.
 */
export const exitReport = z.strictObject({
  workload_jti: z.string(),
  /** `reported`: a final state was accepted by the server; `died`: the child ended, or never started, without one. */
  outcome: z.enum(['reported', 'died']),
  exit_code: z.int().nullable(),
  signal: z.string().max(20).nullable(),
  message: z.string().max(2000),
});

/** GET /dag-modules/{ti_id} (execution token, self): 200 text/javascript, the module of the try's Dag version. ETag = hash. */

/**
 * POST /task-instances/{ti_id}/logs?offset=N (execution token, self): appends NDJSON lines to the try's log.
 * `offset` = bytes of this try's log that the sender has sent before; an overlap is dropped, so a lost reply may be repeated.
 * 200 `{size}`; 409 with `{size}` when `offset` lies beyond the end; 413 above `[logging] max_log_bytes`.
 */
export const logAppendAnswer = z.strictObject({ size: z.int() });
/** One line of a task log. */
export const logLine = z.object({
  timestamp: z.string(),
  level: z.string(),
  event: z.string(),
  /** `task.stdout`, `task.stderr`, `task` (the author's logger) or `airlock` (the supervisor). */
  logger: z.string(),
});
export type LogLine = z.infer<typeof logLine>;

/** GET /bundles (parse token): what to parse. */
export const bundleList = z.strictObject({
  bundles: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(['local', 'git']),
      /** Empty for git. */
      path: z.string(),
      git: gitSource.extend({ refresh_seconds: z.number() }).nullable(),
      /** What the server holds now: relative path → digest of the last reported result's inputs. */
      files: z.record(z.string(), z.string()),
    }),
  ),
});
/** PUT /bundles/{name}/file (parse token): the result of one file, good or bad. 200 `parseReportAnswer`. */
export const parseReport = z.strictObject({
  relative_fileloc: z.string().min(1).max(1000),
  /** SHA-256 over the inputs, as the parser saw them; the same report again changes nothing. */
  inputs_digest: z.string(),
  /** Commit that the file was read at; absent where the bundle has no versions. */
  bundle_version: z.string().max(64).nullish(),
  dags: z.array(z.unknown()).max(1000),
  module: z.strictObject({ hash: z.string(), code: z.string() }).nullable(),
  source: z.string(),
  import_error: z.string().nullable(),
  warnings: z.array(z.string()),
  /** About Dags of this report; absent = none. */
  dag_warnings: dagWarnings.optional(),
  /** Of Dags of this report whose timetable is the author's own class; absent = none. */
  timetables: timetablesFacts.optional(),
  parse_seconds: z.number(),
});
export const parseReportAnswer = z.strictObject({
  /** Dags now known from this file, with the version that is current. */
  dags: z.array(z.strictObject({ dag_id: z.string(), version_number: z.int(), changed: z.boolean() })),
  /** Set when the server refused the documents; stored as the file's import error. */
  import_error: z.string().nullable(),
});
/**
 * PUT /bundles/{name}/listing (parse token): all files that exist; Dags of other files become stale. 204. Or why none can be
 * told, in words and with what helps: then the Dags stay as they are, and the bundle counts as failing until a listing comes.
 */
export const bundleListing = z.union([
  z.strictObject({ files: z.array(z.string()).max(100_000) }),
  z.strictObject({ failure: z.string().min(1).max(4000) }),
]);
export type BundleListing = z.infer<typeof bundleListing>;

/**
 * PUT /supervisors/{supervisor_id}/interpreter (parse token, self): what the interpreter has, `inventory`. 204.
 * A supervisor without a Python that has Airflow never calls it.
 */
export { type Inventory, inventory } from './inventory.ts';

/**
 * POST /triggers/sync (trigger token): what this triggerer should run. Waits up to `wait_seconds` for new triggers, then
 * answers 200. Whoever takes a trigger takes it from a triggerer that ended or fell silent, never from one that lives.
 */
export const triggerSync = z.strictObject({
  /** Ids of the triggers that it runs now. */
  holds: z.array(z.int().min(1)).max(100_000),
  /** How many more it can take. */
  slots: z.int().min(0).max(10_000),
  /** Queues that it serves; null = triggers that name no queue. */
  queues: z.array(z.string().min(1).max(256)).max(100).nullable(),
  wait_seconds: z.int().min(0).max(30),
});
/** One trigger to run; everything in it comes from the author's code and is opaque to us. Either of a try or of an asset. */
export const triggerWorkload = z.strictObject({
  id: z.int(),
  classpath: z.string(),
  /** JSON text, or whatever text the task sent. */
  kwargs: z.string(),
  runtime: z.enum(['typescript', 'python']),
  team: z.string().nullable(),
  bundle_name: z.string(),
  /** Folder of the bundle, as the server knows it, empty for git; null when the bundle is gone. */
  bundle_path: z.string().nullable(),
  /** Where the files of a git bundle are, at the commit that the run keeps. */
  git: pinnedGitSource.extend({ version: z.string() }).nullish(),
  /** Instant after which nobody waits for it. */
  timeout_after: z.string().nullable(),
  /** Bytes of log that were sent for this wait before. */
  log_offset: z.int(),
  /** The try that waits for it; null = it watches for `assets`. */
  ti: executeTaskWorkload.shape.ti.nullable(),
  /** Those whose events it makes, one after the other, for as long as it is wanted. */
  assets: z.array(z.strictObject({ name: z.string(), uri: z.string() })).optional(),
  /** For the templates in its arguments: a document with the task alone, and the run as the task would see it. */
  start: z
    .strictObject({ dag_data: z.record(z.string(), z.unknown()), dag_run_data: z.record(z.string(), z.unknown()) })
    .optional(),
});
export const triggerSyncAnswer = z.strictObject({
  run: z.array(triggerWorkload),
  /** Held, but not to be run any more. `ended`: by a person or in time; false: another triggerer has it. */
  cancel: z.array(z.strictObject({ id: z.int(), ended: z.boolean() })),
});
/**
 * POST /triggers/{id}/outcome (trigger token): what a trigger came to. 200; `accepted` false when nobody waits for it any more,
 * or somebody else runs it, so a repeat after a lost answer does no harm.
 */
export const triggerOutcome = z.discriminatedUnion('kind', [
  /** The task goes on; `payload` is JSON text, which nobody on the way parses: its numbers stay what they are. */
  z.strictObject({ kind: z.literal('event'), payload: z.string().min(1) }),
  /** It ended without an event: the task goes on, to fail. */
  z.strictObject({ kind: z.literal('failure'), traceback: z.array(z.string().max(100_000)).max(1000).nullable() }),
  /** The task ends here, without a worker. */
  z.strictObject({
    kind: z.literal('end'),
    state: z.enum(['success', 'failed', 'skipped']),
    /** JSON texts. */
    xcoms: z.record(z.string().min(1).max(512), z.string().min(1)),
  }),
]);
export const triggerOutcomeAnswer = z.strictObject({ accepted: z.boolean() });
/**
 * POST /triggers/{id}/events (trigger token): one event of each asset that a trigger watches for; a repeat of the last one
 * changes nothing. 200 `triggerOutcomeAnswer`; `accepted` false when nobody wants it any more, or somebody else runs it.
 */
export const watcherEvent = z.strictObject({
  /** Made by the sender, for this event alone. */
  event_id: uuid,
  /** JSON text, as that of an outcome. */
  payload: z.string().min(1),
});
/**
 * GET /triggers/{id}/variables/{key}, GET /triggers/{id}/connections/{conn_id} (trigger token): what a trigger of an asset
 * reads, by the team of its Dags. Answers as for tasks; never where needs must be declared.
 *
 * GET, PUT, DELETE /triggers/{id}/store/asset/by-name/value?name=&key=, DELETE …/clear?name= (trigger token): what it keeps of an
 * asset that it watches for, and of no other. Answers as for tasks.
 */
/** Names the try for which a triggerer asks, beside its own token. */
export const TRIGGER_TRY_HEADER = 'airlock-task-instance';

/**
 * POST /timetables/claim (parse token): which timetables to ask what. Waits up to `wait_seconds` for a question, then answers
 * 200. A question is given to one dag-processor at a time; of each bundle only one that a schedule asks, and one that a caller waits for.
 */
export const timetableClaim = z.strictObject({
  /** The bundles that it has. */
  bundles: z.array(z.string().max(250)).max(10_000),
  slots: z.int().min(1).max(100),
  /** Questions that it works on: any other that it was given, in an answer which it never got, is given again. */
  holds: z.array(z.string().max(100)).max(1000),
  wait_seconds: z.int().min(0).max(30),
});
export const timetableQuestion = z.strictObject({
  id: z.string(),
  dag_id: z.string(),
  bundle_name: z.string(),
  timetable: z.strictObject({ __type: z.string(), __var: z.record(z.string(), z.unknown()) }),
  ask: timetableAsk,
});
export type TimetableQuestion = z.infer<typeof timetableQuestion>;
export const timetableClaimAnswer = z.strictObject({ questions: z.array(timetableQuestion) });
/** POST /timetables/{id}/answer (parse token): `timetableAnswer`. 200; `accepted` false when nobody waits for it any more. */
export const timetableAnswered = z.strictObject({ accepted: z.boolean() });
export { timetableAnswer } from './timetables.ts';

/** Method and path of each route, as the policy table names them. */
export const SUPERVISOR_ROUTES = {
  register: 'POST /supervisors',
  heartbeat: 'PUT /supervisors/:supervisor_id/heartbeat',
  interpreter: 'PUT /supervisors/:supervisor_id/interpreter',
  claim: 'POST /workloads/claim',
  exit: 'POST /workloads/:task_instance_id/exit',
  module: 'GET /dag-modules/:task_instance_id',
  appendLog: 'POST /task-instances/:task_instance_id/logs',
  bundles: 'GET /bundles',
  parseReport: 'PUT /bundles/:bundle_name/file',
  bundleListing: 'PUT /bundles/:bundle_name/listing',
  bundleVariable: 'GET /bundles/:bundle_name/variables/*',
  bundleConnection: 'GET /bundles/:bundle_name/connections/:conn_id',
  timetableClaim: 'POST /timetables/claim',
  timetableAnswer: 'POST /timetables/:question_id/answer',
  triggerSync: 'POST /triggers/sync',
  triggerOutcome: 'POST /triggers/:trigger_id/outcome',
  watcherEvent: 'POST /triggers/:trigger_id/events',
  watcherVariable: 'GET /triggers/:trigger_id/variables/*',
  watcherConnection: 'GET /triggers/:trigger_id/connections/:conn_id',
  watcherState: 'GET /triggers/:trigger_id/store/asset/by-name/value',
  watcherStatePut: 'PUT /triggers/:trigger_id/store/asset/by-name/value',
  watcherStateDelete: 'DELETE /triggers/:trigger_id/store/asset/by-name/value',
  watcherStateClear: 'DELETE /triggers/:trigger_id/store/asset/by-name/clear',
} as const;

export type RegisterRequest = z.infer<typeof registerRequest>;
export type ClaimRequest = z.infer<typeof claimRequest>;
export type ExecuteTaskWorkload = z.infer<typeof executeTaskWorkload>;
export type Workload = z.infer<typeof workload>;
export type ExitReport = z.infer<typeof exitReport>;
export type ParseReport = z.infer<typeof parseReport>;
export type ParseReportAnswer = z.infer<typeof parseReportAnswer>;
export type TriggerWorkload = z.infer<typeof triggerWorkload>;
export type TriggerOutcome = z.infer<typeof triggerOutcome>;
export type BundleList = z.infer<typeof bundleList>;
