/**
 * The scheduler without its wiring: what it does when something happened, with the clock passed in. Tests drive it step by
 * step; index.ts drives it by events and timers.
 */
import type { Clock } from '@airlock/contract/clock';
import { isAppError } from '@airlock/contract/errors';
import type { Database } from '@airlock/store';
import { completeBackfills } from '@airlock/store/queries/backfill/change';
import { findNextDue, findRunningRuns, findRunningRunsOf } from '@airlock/store/queries/schedule/due';
import { tryLockSweep } from '@airlock/store/queries/schedule/lock';
import { refreshPoolWarnings } from '@airlock/store/queries/schedule/pool-warnings';
import { findOverdueRuns, isAnythingInFlight } from '@airlock/store/queries/schedule/sweep';
import { sweepTriggers } from '@airlock/store/queries/trigger/resume';
import { instantIso, instantMs } from '../domain/instants.ts';
import { findPendingDeadlines, type ReadDeadlineVariable, tellMissedDeadlines } from '../runs/deadlines.ts';
import { activateEmitted, resumeAnswered, resumeOverdue } from '../runs/index.ts';
import { type Agenda, createAgenda } from './agenda.ts';
import { createAssetRuns } from './asset-runs.ts';
import { createDueRuns } from './create-runs.ts';
import { createTurns } from './decide/turns.ts';
import { createPartitionRuns } from './partition-runs.ts';
import { type PassResult, runPass } from './pass.ts';
import { type SweepOptions, sweepTries } from './sweep.ts';

export type SchedulerLog = {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
  readonly debug: (fields: object, message: string) => void;
};

export type CoreOptions = {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: SchedulerLog;
  readonly instanceId: string;
  readonly parallelism: number;
  readonly maxQueued: number;
  readonly maxRunsToCreate: number;
  /** `[scheduler] partition_mapper_max_downstream_keys`. */
  readonly maxPartitionKeys: number;
  /** `[scheduler] use_job_schedule`. */
  readonly createsRuns: boolean;
  readonly readVariable: ReadDeadlineVariable;
};

export type SchedulerCore = {
  readonly agenda: Agenda;
  /** Marks everything that is not finished, at start and after a gap in which events may have been lost; says which pools are missing. */
  readonly resync: () => Promise<void>;
  /** Marks what is due by the clock of the database's rows, whatever events said. */
  readonly lookForOverdue: () => Promise<void>;
  /** Works until nothing is left to do. @throws DB_UNAVAILABLE; what was taken up is marked again */
  readonly settle: () => Promise<void>;
  /** @returns false when another scheduler is sweeping. */
  readonly sweep: (options: Omit<SweepOptions, 'nowMs'>) => Promise<boolean>;
};

/** Runs of one pass: as many as hold so many task instances, going by those of the pass before. */
const READ_AT_ONCE = 5_000;
const MIN_RUNS_AT_ONCE = 4;
const MAX_RUNS_AT_ONCE = 256;
/** While more runs wait for a decision, what they have decided is queued with every so manieth pass. */
const PASSES_PER_QUEUE = 4;
/** Triggers without a task that waits, removed in one sweep. */
const MAX_SWEPT_TRIGGERS = 1000;
/** A run whose decision failed by a defect of ours is left alone for this long, so that it does not spin. */
const BROKEN_RUN_PAUSE_MS = 5_000;
/** A run that someone else holds is looked at again after this. */
const HELD_RUN_PAUSE_MS = 20;

/**
 * Two transactions met: a deadlock, a serialization failure, or a Dag version that was replaced between being read and being
 * referred to. Nothing is wrong; looking again gives the new state.
 */
function isCollision(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === '40P01' || code === '40001' || code === '23503';
}

export function createSchedulerCore(options: CoreOptions): SchedulerCore {
  const { db, clock, log } = options;
  const agenda = createAgenda();
  const turns = createTurns();
  /** Runs that are marked only because another run of their Dag was looked at. */
  const derived = new Set<number>();
  let runsAtOnce = 32;
  let passesSinceQueue = 0;

  const readDue = async () => {
    const due = await findNextDue(db, instantIso(clock.nowMs()));
    agenda.setDue({ createAtMs: instantMs(due.create_at), startAtMs: instantMs(due.start_at) });
    return due;
  };

  const pass = async (dirty: readonly number[], start: boolean): Promise<void> => {
    const queue = !agenda.hasRuns() || ++passesSinceQueue >= PASSES_PER_QUEUE;
    if (queue) passesSinceQueue = 0;
    const result = await db.transaction((tx) =>
      runPass(tx, {
        dirty,
        start: start ? runsAtOnce : 0,
        queue,
        nowMs: clock.nowMs(),
        instanceId: options.instanceId,
        parallelism: options.parallelism,
        maxQueued: options.maxQueued,
        turns,
      }),
    );
    if (dirty.length > 0 && result.read > 0) {
      const fitting = Math.floor(READ_AT_ONCE / (result.read / dirty.length));
      runsAtOnce = Math.min(MAX_RUNS_AT_ONCE, Math.max(MIN_RUNS_AT_ONCE, fitting));
    }
    await digest(result, dirty);
    if (start) await readDue();
  };

  const digest = async (result: PassResult, dirty: readonly number[]): Promise<void> => {
    for (const id of dirty) if (!result.wakes.has(id)) agenda.forget(id);
    for (const [id, atMs] of result.wakes) agenda.wakeRun(id, atMs);
    for (const id of result.held) agenda.wakeRun(id, clock.nowMs() + HELD_RUN_PAUSE_MS);
    for (const { run, state, reason } of result.ended) {
      agenda.forget(run.id);
      log.info({ dag_id: run.dag_id, run_id: run.run_id, state, reason }, 'run ended');
    }
    if (result.ended.length > 0) {
      agenda.wantStart();
      if (options.createsRuns) agenda.wantCreate();
    }
    if (result.more) agenda.wantStart();
    // What happened in one run may be what another one waits for. Runs that are looked at for that reason alone do not pass
    // it on, so that two runs do not wake each other for ever.
    const past = result.waitingForPast.filter(({ runId }) => !derived.delete(runId)).map(({ dagId }) => dagId);
    if (past.length === 0) return;
    for (const id of await findRunningRunsOf(db, past)) {
      if (result.wakes.has(id)) continue;
      derived.add(id);
      agenda.mark(id);
    }
  };

  /** After a failure that is not the database's absence: one by one, so that a broken run does not hold up the others. */
  const passOneByOne = async (dirty: readonly number[]): Promise<void> => {
    for (const id of dirty) {
      try {
        await pass([id], false);
      } catch (error) {
        if (isAppError(error, 'DB_UNAVAILABLE')) throw error;
        if (isCollision(error)) {
          agenda.wakeRun(id, clock.nowMs() + HELD_RUN_PAUSE_MS);
          continue;
        }
        log.error({ err: error, dag_run: id }, 'a run could not be examined; it is tried again later');
        agenda.wakeRun(id, clock.nowMs() + BROKEN_RUN_PAUSE_MS);
      }
    }
  };

  const create = async (): Promise<void> => {
    const limit = options.maxRunsToCreate;
    const keyed = await createPartitionRuns(db, { nowMs: clock.nowMs(), maxKeys: options.maxPartitionKeys });
    const fed = await createAssetRuns(db, { nowMs: clock.nowMs(), limit });
    const timed = await db.transaction((tx) => createDueRuns(tx, { nowMs: clock.nowMs(), limit }));
    for (const dagId of [keyed, fed, timed].flatMap((each) => each.denied))
      log.warn({ dag_id: dagId }, 'the Dag has a schedule but does not allow the runs that it makes');
    for (const id of [keyed, fed, timed].flatMap((each) => each.created)) agenda.mark(id);
    if (keyed.more || fed.more || timed.more) agenda.wantCreate();
    else await readDue();
  };

  const settle = async (): Promise<void> => {
    agenda.advance(clock.nowMs());
    while (agenda.hasWork()) {
      const creating = agenda.takeCreate();
      const start = agenda.takeStart();
      const dirty = agenda.take(runsAtOnce);
      try {
        if (creating && options.createsRuns) await create();
        if (start || dirty.length > 0) await pass(dirty, start);
      } catch (error) {
        if (isAppError(error, 'DB_UNAVAILABLE')) {
          for (const id of dirty) agenda.mark(id);
          if (creating) agenda.wantCreate();
          agenda.wantStart();
          throw error;
        }
        if (start) agenda.wakeStart(clock.nowMs() + HELD_RUN_PAUSE_MS);
        if (!isCollision(error)) log.error({ err: error }, 'a pass of the scheduler failed');
        await passOneByOne(dirty);
      }
      agenda.advance(clock.nowMs());
    }
  };

  return {
    agenda,
    resync: async () => {
      for (const id of await findRunningRuns(db)) agenda.mark(id);
      agenda.wantStart();
      if (options.createsRuns) agenda.wantCreate();
      await refreshPoolWarnings(db, instantIso(clock.nowMs()));
    },
    lookForOverdue: async () => {
      const nowIso = instantIso(clock.nowMs());
      for (const id of await findOverdueRuns(db, nowIso)) agenda.mark(id);
      const due = await readDue();
      if (due.start_now) agenda.wantStart();
      if (due.create_now && options.createsRuns) agenda.wantCreate();
    },
    settle,
    sweep: async (sweep) => {
      if (!(await isAnythingInFlight(db))) return true;
      await findPendingDeadlines(db, { ...options, nowIso: instantIso(clock.nowMs()) });
      await activateEmitted(db, instantIso(clock.nowMs()));
      return await db.transaction(async (tx) => {
        if (!(await tryLockSweep(tx))) return false;
        const result = await sweepTries(tx, { ...sweep, nowMs: clock.nowMs() });
        const missed = await tellMissedDeadlines(tx, instantIso(clock.nowMs()));
        if (missed > 0) log.info({ missed }, 'deadlines of runs have passed');
        const resumed = await resumeAnswered(tx, { nowIso: instantIso(clock.nowMs()) });
        if (resumed > 0) log.info({ resumed }, 'tries that waited for people go on');
        const overdue = await resumeOverdue(tx, instantIso(clock.nowMs()));
        if (overdue > 0) log.info({ overdue }, 'triggers have had their time: their tasks go on to fail');
        await sweepTriggers(tx, MAX_SWEPT_TRIGGERS);
        for (const id of await completeBackfills(tx, instantIso(clock.nowMs())))
          log.info({ backfill: id }, 'a backfill is complete');
        for (const { id, reason } of result.failed) log.warn({ ti_id: id, reason }, 'a try was ended by the scheduler');
        for (const { id, dag_id, message } of result.endedCallbacks)
          log.warn({ callback: id, dag_id, message }, 'a callback was ended by the scheduler');
        for (const { id } of result.claimsTakenBack) log.warn({ ti_id: id }, 'a claim was taken back');
        for (const { id } of result.returned) log.warn({ ti_id: id }, 'a try waited too long and queues again');
        return true;
      });
    },
  };
}
