/** Makes a run with all its task instances. @see scheduling semantics 3.2, 3.3; REST 5.1; execution API 3.9 */
import { randomBytes } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import type { DagRunType } from '@airlock/contract/states';
import { type Db, notify } from '@airlock/store';
import { lockDagForRun } from '@airlock/store/queries/dag/find';
import { runExists } from '@airlock/store/queries/dag-run/exists';
import { insertDagRun } from '@airlock/store/queries/dag-run/insert';
import { insertTaskInstances } from '@airlock/store/queries/task-instance/insert';
import type { DagModel } from '../domain/dag-model.ts';
import { instantIso, instantIsoOrNull } from '../domain/instants.ts';
import { checkParams } from '../domain/params.ts';
import {
  checkRunId,
  generatePartitionRunId,
  generateRunId,
  laterByMicros,
  RUN_ID_PATTERN,
  type RunIdRules,
} from '../domain/run-id.ts';
import { type AskedFacts, unanswered } from './asked-timetables.ts';
import { createDeadlines } from './deadlines.ts';
import { loadModel } from './models.ts';
import { initialTaskInstances } from './new-task-instances.ts';

export type CreateRunOptions = {
  readonly dagId: string;
  /** Absent, null or empty: one is made from type and run-after. */
  readonly runId?: string | null;
  readonly runType: DagRunType;
  /** `rest_api`, `ui`, `cli`, `operator`, `timetable`, … */
  readonly triggeredBy: string;
  readonly triggeringUserName: string | null;
  /** The try whose task asks for it. */
  readonly triggeredByTry?: string | null;
  /** RFC 3339, or null: a run without identity on the schedule. */
  readonly logicalDate: string | null;
  /** Both or neither; ignored without a logical date; absent = inferred by the timetable. */
  readonly dataInterval?: { readonly start: string; readonly end: string } | null;
  /** Instant for which an absent interval is inferred; absent = the logical date. */
  readonly intervalAt?: string;
  /** Earliest start; absent or null = now. */
  readonly runAfter?: string | null;
  readonly conf?: Readonly<Record<string, unknown>> | null;
  readonly note?: string | null;
  readonly noteUser?: string | null;
  readonly partitionKey?: string | null;
  /** Where the schedule has made both; else the date is read from `partitionKey`. */
  readonly partition?: { readonly key: string; readonly dateMs: number | null } | null;
  /** What a timetable of the author's own has said of this run; absent or null = nobody has asked. */
  readonly asked?: AskedFacts | null;
  readonly nowIso: string;
  /** `[scheduler] allowed_run_id_pattern` and `[core] allow_double_dot_in_ids`. */
  readonly runIdRules?: RunIdRules;
};

export type CreatedRun = { readonly id: number; readonly runId: string };

const TYPE_WORDS: Readonly<Record<DagRunType, string>> = {
  backfill: 'backfill',
  scheduled: 'scheduled',
  manual: 'manual',
  operator_triggered: 'operator-triggered',
  asset_triggered: 'asset-triggered',
  asset_materialization: 'asset materialization',
};

/** How many ids of ours are tried for a run without a logical date. */
const MAX_IDS = 1000;

/**
 * Creates a queued run of the Dag's newest version; a paused Dag accepts it and starts it later.
 * @throws NOT_FOUND no such Dag, or stale · BAD_REQUEST import errors (`detail.reason` in `internal`), run type, run id, params
 *   · TIMETABLE_UNAVAILABLE the timetable has become the author's own since it was asked · CONFLICT run id (`internal.reason` = `already_exists`) or logical date (`Unique constraint violation`) is taken
 */
export async function createDagRun(tx: Db, options: CreateRunOptions): Promise<CreatedRun> {
  const { dagId, runType, nowIso } = options;
  const dag = await lockDagForRun(tx, dagId);
  if (!dag || dag.is_stale || dag.current_version_id === null) {
    throw new AppError('NOT_FOUND', {
      public: `Dag with dag_id: '${dagId}' not found`,
      internal: { reason: 'not_found' },
    });
  }
  if (dag.has_import_errors) {
    refuse('import_errors', `Dag with dag_id: '${dagId}' has import errors and cannot be triggered`);
  }
  if (dag.allowed_run_types && !dag.allowed_run_types.includes(runType)) {
    refuse('denied_run_type', `Dag with dag_id: '${dagId}' does not allow ${TYPE_WORDS[runType]} runs`);
  }
  const model = await loadModel(tx, dag.current_version_id);
  const partitionKey = options.partition?.key ?? options.partitionKey ?? null;
  if (partitionKey && !model.timetable.takesPartitions) {
    refuse('not_partitioned', `Dag '${dagId}' is not a partitioned Dag and does not accept a partition_key.`);
  }
  const runAfter = options.runAfter ?? nowIso;
  const rules = options.runIdRules ?? { pattern: RUN_ID_PATTERN, allowDoubleDots: false };
  const ownId = (micros: number) =>
    model.timetable.partitions?.at
      ? generatePartitionRunId(runType, runAfter, partitionKey, randomBytes(4).toString('hex'))
      : generateRunId(runType, laterByMicros(runAfter, micros));
  if (options.runId) checkGivenRunId(options.runId, runType, rules);
  const conf = options.conf ?? {};
  checkParams(model.params, conf);

  // Before anything is made of it: the Dag may have been parsed anew since its timetable was asked.
  if (model.timetable.isAsked && !options.asked) throw unanswered(dagId);
  const asked = model.timetable.isAsked ? options.asked! : null;
  const interval = asked ? asked.interval : intervalOf(model, options);
  const pinned = dag.bundle_version !== null && !model.disableBundleVersioning;
  const facts = {
    dagId,
    team: dag.team,
    runType,
    triggeredBy: options.triggeredBy,
    triggeringUserName: options.triggeringUserName,
    triggerTry: options.triggeredByTry ?? null,
    logicalDate: options.logicalDate,
    intervalStart: interval?.start ?? null,
    intervalEnd: interval?.end ?? null,
    runAfter,
    conf,
    note: options.note ?? null,
    noteUser: options.note === undefined || options.note === null ? null : (options.noteUser ?? null),
    createdVersionId: pinned ? dag.current_version_id : null,
    bundleVersion: pinned ? dag.bundle_version : null,
    partitionKey,
    partitionDate: options.partition
      ? instantIsoOrNull(options.partition.dateMs)
      : partitionDate(model, options.partitionKey ?? null),
    nowIso,
  };
  // Our clock has milliseconds: several that are asked for within one differ in their microseconds.
  const isNamed = Boolean(options.runId || asked?.runId || options.logicalDate || options.runAfter);
  let runId = '';
  let id: number | null = null;
  for (let micros = 0; id === null && micros < (isNamed ? 1 : MAX_IDS); micros++) {
    runId = options.runId || asked?.runId || ownId(micros);
    id = await insertDagRun(tx, { ...facts, runId });
  }
  if (id === null) await conflict(tx, options, runId);
  const run = { dagRunId: id!, dagId, runId, team: dag.team, versionId: dag.current_version_id, nowIso };
  const logicalMs = options.logicalDate === null || runType === 'backfill' ? null : Date.parse(options.logicalDate);
  await insertTaskInstances(tx, initialTaskInstances(run, model, logicalMs), nowIso);
  await createDeadlines(tx, { ...run, model, logicalDate: options.logicalDate });
  await notify(tx, { kind: 'run', dagRunId: run.dagRunId });
  return { id: run.dagRunId, runId };
}

function refuse(reason: string, text: string): never {
  throw new AppError('BAD_REQUEST', { public: text, internal: { reason } });
}

function partitionDate({ timetable }: DagModel, key: string | null): string | null {
  if (key === null) return null;
  try {
    return instantIsoOrNull(timetable.partitions?.dateOf(key) ?? null);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return refuse('invalid_partition_key', `Partition key '${key}' is invalid for this timetable: ${error.message}`);
  }
}

function checkGivenRunId(runId: string, type: DagRunType, rules: RunIdRules): void {
  try {
    checkRunId(runId, type, rules);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    refuse('value_error', error.message);
  }
}

function intervalOf(model: DagModel, options: CreateRunOptions): { start: string; end: string } | null {
  if (options.logicalDate === null) return null;
  if (options.dataInterval) return options.dataInterval;
  // A zero-width interval keeps the microseconds, which epoch milliseconds would lose.
  const from = options.intervalAt ?? options.logicalDate;
  const ms = Date.parse(from);
  const { startMs, endMs } = model.timetable.manualInterval(ms);
  const iso = (at: number) => (at === ms ? from : instantIso(at));
  return { start: iso(startMs), end: iso(endMs) };
}

/** Which of the two unique keys was hit decides the text. */
async function conflict(tx: Db, { dagId }: CreateRunOptions, runId: string): Promise<never> {
  const taken = await runExists(tx, dagId, runId);
  throw new AppError('CONFLICT', {
    public: taken
      ? `A run already exists for Dag '${dagId}' with run_id '${runId}'`
      : `A run of Dag '${dagId}' already has this logical date`,
    internal: { reason: taken ? 'already_exists' : 'Unique constraint violation' },
  });
}
