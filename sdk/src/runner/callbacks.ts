/** Callbacks of tasks and Dags. One that fails is logged and changes nothing about the task or the run. */
import { setTimeout as delay } from 'node:timers/promises';
import type { StartCallback, TaskOutcome } from '@airlock/contract/ipc/runner';
import type { BoundCallback, TaskCallbackKey } from '../author/callbacks.ts';
import type { Dag } from '../author/dag.ts';
import type { TaskVertex } from '../author/graph.ts';
import { makeContext, makeLogger, paramsOf, runInfo } from './context.ts';
import type { TaskHost } from './host.ts';
import { resolveNeeds } from './needs.ts';
import { describeThrown } from './stack.ts';

/** Time that a callback of a task has in the task's own process. */
const OWN_PROCESS_MS = 20_000;

/** Calls what the task has for this end of its try, in its own process, with what its body had. */
export async function callTaskCallback(
  vertex: TaskVertex,
  outcome: TaskOutcome,
  of: { readonly context: object; readonly thrown: unknown; readonly shouldRetry: boolean },
  host: Pick<TaskHost, 'log'>,
): Promise<void> {
  const call = callOf(outcome, of);
  const function_ = call && vertex.callbacks[call.key];
  if (!function_) return;
  const over = new AbortController();
  try {
    const late = delay(OWN_PROCESS_MS, 'late' as const, { signal: over.signal });
    const ended = await Promise.race([Promise.resolve(function_(of.context, call.value)).then(() => 'done'), late]);
    if (ended === 'late')
      host.log('error', `The callback ${call.key} took longer than ${OWN_PROCESS_MS / 1000} s and was left.`);
  } catch (thrown) {
    const { name, message, stack } = describeThrown(thrown);
    host.log('error', `The callback ${call.key} failed: ${name}: ${message}`, { stack });
  } finally {
    over.abort();
  }
}

type Call = { readonly key: TaskCallbackKey; readonly value: unknown };

function callOf(outcome: TaskOutcome, of: { readonly thrown: unknown; readonly shouldRetry: boolean }): Call | null {
  switch (outcome.state) {
    case 'success':
      return { key: 'onSuccess', value: outcome.value };
    case 'skipped':
      return { key: 'onSkip', value: outcome.reason };
    case 'failed': {
      const { name, message } = outcome.error;
      const error = of.thrown instanceof Error ? of.thrown : Object.assign(new Error(message), { name });
      return { key: outcome.retryable && of.shouldRetry ? 'onRetry' : 'onFailure', value: error };
    }
    default:
      return null;
  }
}

/** The one callback of this process, which the server has started. */
export async function runCallback(
  dag: Dag,
  { order, work_dir: workDir }: StartCallback,
  signal: AbortSignal,
  host: TaskHost,
): Promise<TaskOutcome> {
  if (order.kind === 'task') await runTaskCallback(dag, order, { workDir, signal }, host);
  else await runDagCallback(dag, order, workDir, host);
  return { state: 'success', has_value: false, mapped_length: null };
}

type Order = StartCallback['order'];

async function runTaskCallback(
  dag: Dag,
  { event, reason, dag_run: run, ti }: Order,
  place: { readonly workDir: string; readonly signal: AbortSignal },
  host: TaskHost,
): Promise<void> {
  const vertex = ti === null ? undefined : dag.graph().tasks.get(ti.task_id);
  if (!vertex || ti === null)
    throw new Error(`Dag ${dag.dagId} has no task ${ti?.task_id} in this version of its file.`);
  const key = event === 'retry' ? 'onRetry' : 'onFailure';
  const function_ = vertex.callbacks[key];
  if (!function_) throw new Error(`Task ${ti.task_id} has no ${key} in this version of its file.`);
  const context = {
    ...contextOfRun(run),
    task_id: ti.task_id,
    map_index: ti.map_index,
    try_number: ti.try_number,
    max_tries: ti.max_tries,
    start_date: ti.start_date ?? run.run_after,
    reschedule_count: 0,
    should_retry: event === 'retry',
  };
  const needs = await resolveNeeds(vertex.needs, dag.graph(), host);
  const error = Object.assign(new Error(reason ?? 'The try has ended.'), { name: 'TryEnded' });
  await function_(makeContext(dag, { context, ...place }, needs, host), error);
}

async function runDagCallback(dag: Dag, order: Order, workDir: string, host: TaskHost): Promise<void> {
  const { dag_run: run, ti, reason, target } = order;
  const { needs, run: body } = ownCallback(dag, order);
  const values = await resolveNeeds(needs, dag.graph(), host);
  await body({
    params: paramsOf(dag, contextOfRun(run).conf),
    needs: values,
    log: makeLogger(host),
    run: runInfo(contextOfRun(run)),
    reason: order.kind === 'deadline' ? null : reason,
    task: ti === null ? null : { taskId: ti.task_id, mapIndex: ti.map_index, tryNumber: ti.try_number },
    deadline: target && { name: target.deadline.name, at: new Date(target.deadline.deadline_time) },
    workDir,
  });
}

function ownCallback(dag: Dag, { kind, event, target }: Order): BoundCallback {
  const { success, failure, deadlines } = dag.settings.callbacks;
  const found =
    kind === 'deadline'
      ? deadlines[target?.deadline.position ?? -1]?.callback
      : event === 'success'
        ? success
        : failure;
  if (found) return found;
  throw new Error(`Dag ${dag.dagId} has no such callback in this version of its file.`);
}

function contextOfRun(run: Order['dag_run']) {
  return {
    dag_id: run.dag_id,
    run_id: run.run_id,
    logical_date: run.logical_date,
    data_interval_start: run.data_interval_start,
    data_interval_end: run.data_interval_end,
    run_after: run.run_after,
    run_type: run.run_type,
    conf: (run.conf ?? {}) as Record<string, unknown>,
  };
}
