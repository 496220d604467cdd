/**
 * Why a task instance does not go on: one cause for each that waits, the first thing that would have to change. Pure.
 * The order of the checks is the way of a task instance: run, dependencies, time, limits, queue, worker.
 */
import type { RunFacts, WaitingFacts } from '@airlock/store/queries/schedule/waiting';
import { createBoard } from './decide/board.ts';
import { pastAllows, ruleVerdict } from './decide/dependencies.ts';
import type { RunSnapshot } from './decide/types.ts';

/** Names of causes, for scripts. Each says what holds a task instance, and `text` says it with the figures of the moment. */
export const CAUSES = [
  'run_ended',
  'run_not_due',
  'run_limit',
  'run_starting',
  'backfill_paused',
  'dag_paused',
  'dag_stale',
  'logical_date_in_future',
  'no_scheduler',
  'no_task',
  'upstream',
  'past',
  'retry_delay',
  'reschedule_delay',
  'pool_missing',
  'pool_too_small',
  'pool_full',
  'max_active_tasks',
  'max_active_tis_per_dag',
  'max_active_tis_per_dagrun',
  'parallelism',
  'scheduler',
  'no_worker',
  'queue_not_served',
  'workers_busy',
  'worker_starting',
  'stopping',
  'no_triggerer',
  'trigger_starting',
  'triggerers_busy',
  'trigger',
  'human_input',
] as const;
export type CauseName = (typeof CAUSES)[number];
export type Cause = {
  readonly name: CauseName;
  readonly text: string;
  /** Instant at which it ends by itself, where there is one. */
  readonly until: string | null;
};

export type WaitingQuestion = {
  readonly run: RunFacts;
  readonly ti: WaitingFacts;
  /** Null when the version of the run can't be read. */
  readonly snapshot: RunSnapshot | null;
  /** `[core] parallelism`. */
  readonly parallelism: number;
  readonly nowMs: number;
};

const cause = (name: CauseName, text: string, until: string | null = null): Cause => ({ name, text, until });

/** The one cause. Every state in which a task instance waits has one. */
export function waitingCause(question: WaitingQuestion): Cause {
  const { ti } = question;
  switch (ti.state) {
    case 'queued':
      return inQueue(question);
    case 'restarting':
      return cause('stopping', 'It was cleared while it ran; its process is being stopped.');
    case 'deferred':
      return onTrigger(question);
    case 'awaiting_input':
      return cause('human_input', "It waits for somebody's answer.", ti.trigger_timeout);
    default:
      return ofRun(question) ?? ofTask(question) ?? ofLimits(question) ?? ofScheduler(question);
  }
}

/** A triggerer that has room takes a trigger within seconds. */
const TRIGGER_TAKEN_MS = 30_000;

function onTrigger({ ti, nowMs }: WaitingQuestion): Cause {
  const name = ti.trigger_class ?? 'its trigger';
  if (ti.triggered_by !== null)
    return cause('trigger', `It waits for ${name}, which runs on ${ti.triggered_by}.`, ti.trigger_timeout);
  if (ti.triggerers === 0)
    return cause('no_triggerer', `It waits for ${name}, and no triggerer is alive.`, ti.trigger_timeout);
  if (ti.trigger_since !== null && nowMs - Date.parse(ti.trigger_since) > TRIGGER_TAKEN_MS) {
    const reason = ti.trigger_queue === null ? 'are full' : `are full, or do not serve the queue ${ti.trigger_queue}`;
    const text = `It waits for ${name}, which none of ${ti.triggerers} triggerers has taken: they ${reason}.`;
    return cause('triggerers_busy', text, ti.trigger_timeout);
  }
  return cause('trigger_starting', `It waits for ${name}, which no triggerer has taken yet.`, ti.trigger_timeout);
}

function ofRun({ run, snapshot, nowMs }: WaitingQuestion): Cause | null {
  if (run.state === 'success' || run.state === 'failed') return cause('run_ended', `The run has ended: ${run.state}.`);
  if (run.is_stale) return cause('dag_stale', 'The Dag is no longer in any file.');
  if (run.is_paused) return cause('dag_paused', 'The Dag is paused.');
  if (run.schedulers === 0) return cause('no_scheduler', 'No scheduler is alive.');
  if (run.state === 'queued') {
    if (Date.parse(run.run_after) > nowMs) return cause('run_not_due', 'The run is not due yet.', run.run_after);
    if (run.backfill_paused) return cause('backfill_paused', 'The backfill is paused.');
    if (run.running_runs >= run.max_active_runs)
      return cause('run_limit', `${run.running_runs} of at most ${run.max_active_runs} runs are running.`);
    return cause('run_starting', 'The run is about to start.');
  }
  const logicalMs = snapshot?.run.logicalDateMs ?? null;
  if (logicalMs !== null && logicalMs > nowMs)
    return cause('logical_date_in_future', 'The logical date is in the future.', new Date(logicalMs).toISOString());
  return null;
}

function ofTask({ ti, snapshot, nowMs }: WaitingQuestion): Cause | null {
  if (ti.state === 'scheduled') return null; // its dependencies were met
  if (!snapshot) return cause('no_task', 'The version of the Dag that this run follows is gone.');
  const task = snapshot.model.tasks.get(ti.task_id);
  if (!task) return cause('no_task', 'The task is no longer in the Dag.');
  const board = createBoard(snapshot);
  if (ruleVerdict(snapshot.model, board, task, ti.map_index) === 'wait') {
    const open = task.upstream.flatMap((id) =>
      board
        .rowsOf(id)
        .filter((row) => row.state !== 'success')
        .map((row) => `${id}${row.mapIndex < 0 ? '' : `[${row.mapIndex}]`} (${row.state ?? 'none'})`),
    );
    const shown = open.length > 10 ? `${open.slice(0, 10).join(', ')} and ${open.length - 10} more` : open.join(', ');
    return cause(
      'upstream',
      `Its rule ${task.triggerRule} is not met yet: ${shown || 'a setup, or what a teardown guards'}.`,
    );
  }
  const due = ti.state === 'up_for_retry' ? ti.retry_at : ti.state === 'up_for_reschedule' ? ti.reschedule_at : null;
  if (due !== null && Date.parse(due) > nowMs) {
    return ti.state === 'up_for_retry'
      ? cause('retry_delay', `It is tried again later; try ${ti.try_number} has failed.`, due)
      : cause('reschedule_delay', 'It looks again later.', due);
  }
  if (!pastAllows(snapshot, task, ti.map_index))
    return cause('past', 'It depends on its past, and in the run before it has not succeeded.');
  return null;
}

function ofLimits({ run, ti, parallelism }: WaitingQuestion): Cause | null {
  if (ti.state !== 'scheduled') return null;
  const { pool, pool_slots: wanted, pool_size: size, pool_taken: taken } = ti;
  if (size === null) return cause('pool_missing', `There is no pool ${pool}.`);
  if (size !== -1 && wanted > size)
    return cause('pool_too_small', `It wants ${wanted} slots, and the pool ${pool} has ${size}.`);
  if (size !== -1 && size - taken < wanted)
    return cause('pool_full', `${taken} of ${size} slots of the pool ${pool} are taken, and it wants ${wanted}.`);
  if (run.active_in_run >= run.max_active_tasks)
    return cause(
      'max_active_tasks',
      `${run.active_in_run} of at most ${run.max_active_tasks} tasks of the run are active.`,
    );
  if (ti.max_active_per_dag !== null && ti.active_per_dag >= ti.max_active_per_dag)
    return cause(
      'max_active_tis_per_dag',
      `${ti.active_per_dag} of at most ${ti.max_active_per_dag} of this task are active in all runs.`,
    );
  if (ti.max_active_per_run !== null && ti.active_per_run >= ti.max_active_per_run)
    return cause(
      'max_active_tis_per_dagrun',
      `${ti.active_per_run} of at most ${ti.max_active_per_run} of this task are active in the run.`,
    );
  if (run.active_in_deployment >= parallelism)
    return cause(
      'parallelism',
      `${run.active_in_deployment} of at most ${parallelism} tasks are active in the deployment.`,
    );
  return null;
}

function ofScheduler({ ti }: WaitingQuestion): Cause {
  const what = ti.state === 'scheduled' ? 'queue it' : 'schedule it';
  return cause('scheduler', `Nothing holds it: the scheduler is about to ${what}.`);
}

function inQueue({ ti }: WaitingQuestion): Cause {
  if (ti.held_by !== null) return cause('worker_starting', `The worker on ${ti.held_by} has it and is starting it.`);
  if (ti.workers === 0) return cause('no_worker', 'No worker is alive.');
  if (ti.workers_of_queue === 0)
    return cause('queue_not_served', `None of ${ti.workers} workers serves the queue ${ti.queue}.`);
  return cause(
    'workers_busy',
    `${ti.workers_of_queue} workers serve the queue ${ti.queue}, and have no room just now.`,
  );
}
