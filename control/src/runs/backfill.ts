/**
 * Backfills: the runs of a Dag's schedule between two instants, made or made again. @see scheduling semantics 3.5; REST 5.15
 */
import { AppError } from '@airlock/contract/errors';
import { type Db, notify } from '@airlock/store';
import { type BackfillPoint, insertBackfill, recordPoints, takeOverRun } from '@airlock/store/queries/backfill/change';
import { findRunsAt } from '@airlock/store/queries/backfill/existing-runs';
import { type DagRow, lockDagForRun } from '@airlock/store/queries/dag/find';
import type { DagModel } from '../domain/dag-model.ts';
import { instantIso, instantIsoOrNull } from '../domain/instants.ts';
import { checkParams } from '../domain/params.ts';
import type { NextRun } from '../domain/timetables/index.ts';
import { unanswered } from './asked-timetables.ts';
import { clearTaskInstances, runsOnLatest } from './clear.ts';
import { createDagRun } from './create-run.ts';
import { loadModel } from './models.ts';
import { nextRun } from './next-run.ts';

/** Most runs of one backfill, so that making them has a bound. */
export const MOST_BACKFILL_RUNS = 10_000;

export type BackfillRequest = {
  readonly dagId: string;
  /** Both RFC 3339; the range is closed. */
  readonly fromDate: string;
  readonly toDate: string;
  /** Newest first. */
  readonly backwards: boolean;
  /** Null = the Dag's defaults; runs that are made again keep their own. */
  readonly conf: Readonly<Record<string, unknown>> | null;
  /** Which finished runs are made again: none, those that failed, all. */
  readonly reprocess: 'none' | 'failed' | 'completed';
  readonly maxActiveRuns: number;
  /** Version of runs that are made again; null = as the Dag says, else the configuration, else the newest. */
  readonly runOnLatestVersion: boolean | null;
  /** `[core] rerun_with_latest_version`. */
  readonly rerunWithLatestVersion: boolean | null;
  readonly user: string;
  /** What a timetable of the author's own has answered for this range; absent or null = nobody has asked. */
  readonly asked?: readonly NextRun[] | null;
  readonly nowIso: string;
};

/** A place on the schedule, and what a backfill would do there; `run` = the run that is there already. */
export type PlannedPoint = {
  readonly next: NextRun;
  readonly run: { readonly id: number } | null;
  readonly skip: BackfillPoint['exception_reason'];
};

const refuse = (text: string): AppError => new AppError('VALIDATION', { public: text });

/**
 * Creates a backfill and all its runs, queued; how many run at once is the backfill's own number. Locks: the dag row, then the
 * existing runs at those places.
 * @throws NOT_FOUND no such Dag · BAD_REQUEST the Dag allows no backfill runs · CONFLICT another one is not complete ·
 *   VALIDATION dates, direction, behaviour, params, or nothing to do
 */
export async function createBackfill(tx: Db, request: BackfillRequest): Promise<number> {
  const { dag, model } = await checkedDag(tx, request);
  checkRequest(model, request);
  const id = await insertBackfill(tx, {
    dagId: request.dagId,
    fromDate: request.fromDate,
    toDate: request.toDate,
    conf: request.conf === null ? null : JSON.stringify(request.conf),
    reprocess: request.reprocess,
    maxActiveRuns: request.maxActiveRuns,
    user: request.user,
    nowIso: request.nowIso,
  });
  if (id === null) {
    throw new AppError('CONFLICT', {
      public: `There is already a running backfill for dag ${request.dagId}`,
      remedy: 'Wait for its end, or cancel it.',
    });
  }
  const plan = await planOf(tx, model, request, true);
  if (plan.length === 0) {
    throw refuse(`No runs to create for Dag ${request.dagId} in the range [${request.fromDate}, ${request.toDate}]`);
  }
  const points: BackfillPoint[] = [];
  for (const [index, point] of plan.entries()) {
    points.push({
      sort_ordinal: index + 1,
      dag_run_id: point.skip ? null : await makeRun(tx, dag, model, request, point),
      logical_date: instantIsoOrNull(point.next.logicalDateMs),
      partition_key: point.next.partition?.key ?? null,
      exception_reason: point.skip,
    });
  }
  await recordPoints(tx, id, points);
  for (const { dag_run_id: run } of points) if (run !== null) await notify(tx, { kind: 'run', dagRunId: run });
  return id;
}

/** What `createBackfill` would make, in its order. Changes nothing. @throws as it does, but for CONFLICT */
export async function planBackfill(db: Db, request: BackfillRequest): Promise<PlannedPoint[]> {
  const { model } = await checkedDag(db, request);
  checkRequest(model, request);
  return (await planOf(db, model, request, false)).filter((point) => point.skip === null);
}

async function checkedDag(db: Db, request: BackfillRequest): Promise<{ dag: DagRow; model: DagModel }> {
  const { dagId } = request;
  const dag = await lockDagForRun(db, dagId);
  if (!dag || dag.current_version_id === null)
    throw new AppError('NOT_FOUND', { public: `Could not find dag ${dagId}` });
  if (dag.allowed_run_types && !dag.allowed_run_types.includes('backfill')) {
    throw new AppError('BAD_REQUEST', { public: `Dag with dag_id: '${dagId}' does not allow backfill runs` });
  }
  const model = await loadModel(db, dag.current_version_id);
  if (!dag.timetable_periodic) {
    throw refuse(`${dagId} has a non-periodic schedule that does not support backfills`);
  }
  if (model.timetable.isAsked && !request.asked) throw unanswered(dagId);
  return { dag, model };
}

function checkRequest(model: DagModel, request: BackfillRequest): void {
  const [from, to, now] = [request.fromDate, request.toDate, request.nowIso].map((at) => Date.parse(at)) as [
    number,
    number,
    number,
  ];
  if (from > to) throw refuse(`from_date (${request.fromDate}) must not be after to_date (${request.toDate}).`);
  if (from >= now && to >= now) throw refuse('Backfill cannot be executed for future dates.');
  if ([...model.tasks.values()].some((task) => task.dependsOnPast)) {
    if (request.backwards) {
      throw refuse('Backfill cannot be run in reverse when the Dag has tasks where depends_on_past=True.');
    }
    if (request.reprocess === 'none') {
      throw refuse(
        'Dag has tasks for which depends_on_past=True. You must set reprocess behavior to reprocess completed or reprocess failed.',
      );
    }
  }
  if (request.conf === null) return;
  try {
    checkParams(model.params, request.conf);
  } catch (error) {
    throw error instanceof AppError ? refuse(error.message) : error;
  }
}

async function planOf(db: Db, model: DagModel, request: BackfillRequest, lock: boolean): Promise<PlannedPoint[]> {
  const nexts = pointsOf(model, request);
  if (request.backwards) nexts.reverse();
  const { partitioned } = model.timetable;
  const existing = await findRunsAt(db, {
    dagId: request.dagId,
    partitioned,
    dates: nexts.map((next) => instantIso(placeOf(next))),
    lock,
  });
  // Of several runs of a partition the one that began last decides.
  const byBegin = existing.toSorted((a, b) => beganMs(a) - beganMs(b));
  const byDate = new Map(byBegin.map((run) => [Date.parse(run.at), run]));
  return nexts.map((next) => {
    const run = byDate.get(placeOf(next)) ?? null;
    const skip = run ? skipReason(run.state, request.reprocess) : null;
    // A partition may have several runs: one that is made again is a new one beside the old.
    return { next, run: partitioned ? null : run, skip };
  });
}

const beganMs = ({ since }: { readonly since: string | null }) => (since === null ? 0 : Date.parse(since));

/** What tells a place on the schedule from the others. */
const placeOf = (next: NextRun): number => next.partition?.dateMs ?? next.logicalDateMs ?? next.runAfterMs;

/** The points of the schedule in the range whose time is over; of partitions all: the run of one to come waits for its time. */
function pointsOf(model: DagModel, request: BackfillRequest): NextRun[] {
  const nowMs = Date.parse(request.nowIso);
  const points: NextRun[] = [];
  for (const next of candidates(model, request)) {
    if (next.interval && next.interval.endMs >= nowMs) break;
    if (points.length >= MOST_BACKFILL_RUNS) {
      throw refuse(`The range holds more than ${MOST_BACKFILL_RUNS} runs; split it.`);
    }
    points.push(next);
  }
  return points;
}

function* candidates(model: DagModel, { fromDate, toDate, nowIso, asked }: BackfillRequest): Iterable<NextRun> {
  if (model.timetable.isAsked) {
    yield* asked ?? [];
    return;
  }
  const { between } = model.timetable.partitions ?? {};
  if (between) {
    // The clock that the range names is read in the zone of the schedule.
    yield* between(Date.parse(fromDate), Date.parse(toDate));
    return;
  }
  const timetable = {
    ...model,
    startDateMs: Date.parse(fromDate),
    endDateMs: Date.parse(toDate),
    catchup: true,
    tasks: new Map(),
  } satisfies DagModel;
  for (let last: NextRun | null = null; ; ) {
    const next: NextRun | null = nextRun(timetable, last, Date.parse(nowIso));
    if (!next || next.logicalDateMs === null || !next.interval) return;
    if (last && next.runAfterMs <= last.runAfterMs) return;
    yield next;
    last = next;
  }
}

function skipReason(state: string, reprocess: BackfillRequest['reprocess']): PlannedPoint['skip'] {
  if (state !== 'success' && state !== 'failed') return 'in flight';
  if (reprocess === 'none' || (reprocess === 'failed' && state !== 'failed')) return 'already exists';
  return null;
}

async function makeRun(
  tx: Db,
  dag: DagRow,
  model: DagModel,
  request: BackfillRequest,
  { next, run }: PlannedPoint,
): Promise<number> {
  const { dagId, user, nowIso } = request;
  if (run) {
    await clearTaskInstances(tx, {
      dagId,
      dagRunIds: [run.id],
      runOnLatestVersion: runsOnLatest(request.runOnLatestVersion, model, request.rerunWithLatestVersion, true),
      nowIso,
    });
    const conf = request.conf === null ? null : JSON.stringify(request.conf);
    await takeOverRun(tx, { id: run.id, conf, user });
    return run.id;
  }
  const interval = next.interval && {
    start: instantIso(next.interval.startMs),
    end: instantIso(next.interval.endMs),
  };
  const created = await createDagRun(tx, {
    dagId: dag.dag_id,
    runType: 'backfill',
    triggeredBy: 'backfill',
    triggeringUserName: user,
    logicalDate: instantIsoOrNull(next.logicalDateMs),
    dataInterval: interval,
    partition: next.partition ?? null,
    runAfter: instantIso(next.runAfterMs),
    asked: model.timetable.isAsked ? { interval, runId: next.runId ?? null } : null,
    conf: request.conf,
    nowIso,
  });
  return created.id;
}
