/** The words of the state machine, as the wire spells them. @see scheduling semantics 1.1, 1.3, 1.4 */
export const TASK_INSTANCE_STATES = [
  'removed',
  'scheduled',
  'queued',
  'running',
  'success',
  'restarting',
  'failed',
  'up_for_retry',
  'up_for_reschedule',
  'upstream_failed',
  'skipped',
  'deferred',
  'awaiting_input',
] as const;
/** Null = no status: created, not looked at successfully yet. */
export type TaskInstanceState = (typeof TASK_INSTANCE_STATES)[number];
export const FINISHED_STATES = ['success', 'failed', 'skipped', 'upstream_failed', 'removed'] as const;
export const FAILED_STATES = ['failed', 'upstream_failed'] as const;
export const SUCCESS_STATES = ['success', 'skipped'] as const;
/** States from which the scheduler may move a task instance to `scheduled`, besides null. */
export const SCHEDULABLE_STATES = ['up_for_retry', 'up_for_reschedule'] as const;
export const DAG_RUN_STATES = ['queued', 'running', 'success', 'failed'] as const;
export type DagRunState = (typeof DAG_RUN_STATES)[number];
export const DAG_RUN_TYPES = [
  'backfill',
  'scheduled',
  'manual',
  'operator_triggered',
  'asset_triggered',
  'asset_materialization',
] as const;
export type DagRunType = (typeof DAG_RUN_TYPES)[number];

export function isFinished(state: TaskInstanceState | null): boolean {
  return state !== null && (FINISHED_STATES as readonly string[]).includes(state);
}
