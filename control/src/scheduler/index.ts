/**
 * The scheduler of a control process: wakes at events and at due instants, never to look around, but for a slow safety look.
 * Survives the absence of the database: it goes on from what is there when it is back.
 */
import { hostname } from 'node:os';
import { isAppError } from '@airlock/contract/errors';
import { endJob, failSilentJobs, heartbeatJob } from '@airlock/store/queries/job/heartbeat';
import { sweep as sweepRetention } from '@airlock/store/queries/retention/sweep';
import type { ControlDeps } from '../deps.ts';
import { instantIso } from '../domain/instants.ts';
import { createLogStore } from '../logs/log-store.ts';
import { processUserName } from '../user-name.ts';
import { RESYNC_MS } from './bounds.ts';
import { createSchedulerCore } from './core.ts';
import { deadlineVariables } from './deadline-variables.ts';

export type Scheduler = {
  /** Ends after the transaction in progress, if there is one. */
  readonly stop: () => Promise<void>;
};

/** Longest time that a timer is set for: Node's timers end at 24.8 days, and clocks move. */
const MAX_TIMER_MS = 60_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 2_000;
const SWEEP_MIN_MS = 1_000;

/** Starts the scheduler; returns at once. */
export function startScheduler(deps: ControlDeps): Scheduler {
  const { db, clock, config } = deps;
  const log = deps.log.child({ part: 'scheduler' });
  const core = createSchedulerCore({
    db,
    clock,
    log,
    instanceId: deps.instanceId,
    parallelism: config.core.parallelism,
    maxQueued: config.scheduler.max_tis_per_query,
    maxRunsToCreate: config.scheduler.max_dagruns_to_create_per_loop,
    maxPartitionKeys: config.scheduler.partition_mapper_max_downstream_keys,
    createsRuns: config.scheduler.use_job_schedule,
    readVariable: deadlineVariables(deps),
  });
  const { agenda } = core;
  const logs = createLogStore({ root: config.logging.base_log_folder, maxBytes: config.logging.max_log_bytes });
  const heartbeatMs = config.scheduler.scheduler_heartbeat_sec * 1000;
  const healthMs = config.scheduler.scheduler_health_check_threshold * 1000;
  const sweepMs = Math.max(SWEEP_MIN_MS, config.scheduler.task_instance_heartbeat_timeout_detection_interval * 1000);

  let stopped = false;
  let working: Promise<void> | null = null;
  let again = false;
  let needsResync = true;
  let retryMs = 0;
  let availableSinceMs = clock.nowMs();
  let timer: NodeJS.Timeout | undefined;
  let nextHeartbeatMs = 0;
  let nextSweepMs = clock.nowMs() + sweepMs;
  let nextResyncMs = clock.nowMs() + RESYNC_MS;
  let retentionSinceMs = clock.nowMs();
  let nextRetentionMs = clock.nowMs() + config.retention.sweep_interval * 1000;

  const heartbeat = async (nowMs: number): Promise<void> => {
    nextHeartbeatMs = nowMs + heartbeatMs;
    const nowIso = instantIso(nowMs);
    await heartbeatJob(db, {
      jobType: 'SchedulerJob',
      instanceId: deps.instanceId,
      hostname: hostname(),
      unixname: processUserName(),
      nowIso,
    });
    await core.lookForOverdue();
  };

  const sweep = async (nowMs: number): Promise<void> => {
    nextSweepMs = nowMs + sweepMs;
    await core.sweep({
      availableSinceMs,
      heartbeatTimeoutMs: config.scheduler.task_instance_heartbeat_timeout * 1000,
      queueTimeoutMs: config.scheduler.task_queued_timeout * 1000,
      supervisorTimeoutMs: healthMs,
      maxRetryDelaySeconds: config.core.max_task_retry_delay,
    });
  };

  const retain = async (nowMs: number): Promise<void> => {
    nextRetentionMs = nowMs + config.retention.sweep_interval * 1000;
    await failSilentJobs(db, { beforeIso: instantIso(nowMs - 10 * healthMs), nowIso: instantIso(nowMs) });
    const result = await sweepRetention(db, {
      nowMs,
      sinceMs: retentionSinceMs,
      rules: { ...config.retention, rendered_fields_runs: config.core.num_dag_runs_to_retain_rendered_fields },
    });
    retentionSinceMs = nowMs;
    for (const { dag_id, run_id } of result.runs) await logs.removeRun({ dagId: dag_id, runId: run_id });
    if (result.more) nextRetentionMs = nowMs + SWEEP_MIN_MS;
  };

  const round = async (): Promise<void> => {
    const nowMs = clock.nowMs();
    if (needsResync || nowMs >= nextResyncMs) {
      await core.resync();
      needsResync = false;
      nextResyncMs = nowMs + RESYNC_MS;
    }
    await core.settle();
    if (nowMs >= nextHeartbeatMs) {
      await heartbeat(nowMs);
      await core.settle();
    }
    if (nowMs >= nextSweepMs) await sweep(nowMs);
    if (nowMs >= nextRetentionMs) await retain(nowMs);
  };

  const work = async (): Promise<void> => {
    while (!stopped) {
      again = false;
      try {
        await round();
        if (retryMs > 0) {
          log.info({}, 'the database is back');
          retryMs = 0;
          availableSinceMs = clock.nowMs();
          needsResync = true;
          continue;
        }
      } catch (error) {
        const absent = isAppError(error, 'DB_UNAVAILABLE');
        if (retryMs === 0) {
          if (absent) log.warn({ err: error }, 'the database is unavailable; the scheduler waits for it');
          else log.error({ err: error }, 'the scheduler failed in a way it did not expect; it goes on');
        }
        needsResync = true;
        retryMs = Math.min(RETRY_MAX_MS, Math.max(RETRY_FIRST_MS, retryMs * 2));
        return;
      }
      if (!again && !agenda.hasWork()) return;
    }
  };

  const arm = (): void => {
    if (stopped) return;
    clearTimeout(timer);
    const nowMs = clock.nowMs();
    const dueMs = Math.min(
      agenda.nextDueMs() ?? Number.POSITIVE_INFINITY,
      nextHeartbeatMs,
      nextSweepMs,
      nextRetentionMs,
    );
    const waitMs = retryMs > 0 ? retryMs : Math.max(0, Math.min(dueMs - nowMs, MAX_TIMER_MS));
    timer = setTimeout(kick, waitMs);
  };

  const kick = (): void => {
    if (stopped) return;
    if (working) {
      again = true;
      return;
    }
    clearTimeout(timer);
    working = work().finally(() => {
      working = null;
      arm();
    });
  };

  const offEvents = deps.events.on((event) => {
    if (event.kind === 'run') agenda.mark(event.dagRunId);
    else if (event.kind === 'schedule') {
      agenda.wantStart();
      if (config.scheduler.use_job_schedule) agenda.wantCreate();
      needsResync = true;
    } else return;
    if (retryMs === 0) kick();
  });
  const offGaps = deps.events.onGap(() => {
    needsResync = true;
    kick();
  });
  kick();

  return {
    stop: async () => {
      stopped = true;
      offEvents();
      offGaps();
      clearTimeout(timer);
      await working;
      await endJob(db, { instanceId: deps.instanceId, nowIso: instantIso(clock.nowMs()) }).catch((error: unknown) => {
        if (!isAppError(error, 'DB_UNAVAILABLE')) throw error;
      });
    },
  };
}
