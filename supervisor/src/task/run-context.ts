/** From `/run`'s answer to what user code sees of its run. Pure. */
import type { RunContext } from '@airlock/contract/ipc/runner';
import type { RunAnswer } from '@airlock/contract/run-answer';
import type { TaskInstance } from './paths.ts';

/** Characters of why a trigger failed that its task is told. */
const MAX_FAILURE = 20_000;

/** @param startedAt when this stretch began, for a try that has not been rescheduled */
export function contextOf(ti: TaskInstance, answer: RunAnswer, startedAt: string): RunContext {
  const run = answer.dag_run;
  return {
    dag_id: ti.dag_id,
    run_id: ti.run_id,
    task_id: ti.task_id,
    map_index: ti.map_index,
    try_number: ti.try_number,
    max_tries: answer.max_tries,
    logical_date: run.logical_date ?? null,
    data_interval_start: run.data_interval_start ?? null,
    data_interval_end: run.data_interval_end ?? null,
    run_after: run.run_after,
    run_type: run.run_type,
    conf: run.conf ?? {},
    start_date: answer.start_date ?? startedAt,
    reschedule_count: answer.task_reschedule_count,
    should_retry: answer.should_retry,
    ...(answer.next_method == null ? {} : { resumed: resumedBy(answer.next_method, answer.next_kwargs) }),
  };
}

/** @see execution API 4.4, `__fail__` */
function resumedBy(method: string, kwargs: unknown): NonNullable<RunContext['resumed']> {
  const given = (typeof kwargs === 'object' && kwargs !== null ? kwargs : {}) as Record<string, unknown>;
  if (method !== '__fail__') return { event: given.event ?? null };
  const lines = Array.isArray(given.traceback) ? given.traceback.map(String) : [];
  const failure = [String(given.error ?? 'Trigger failure'), ...lines].join('\n').slice(0, MAX_FAILURE);
  return { failure, timed_out: given.error === 'Trigger timeout' };
}
