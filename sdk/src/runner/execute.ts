/** One try of one task, from its inputs to its outcome. The same code runs in a worker's runner and in a test. */
import type { TaskOutcome } from '@airlock/contract/ipc/runner';
import type { Dag } from '../author/dag.ts';
import type { Graph, TaskVertex } from '../author/graph.ts';
import { isFail, isSkip, Skip } from '../author/outcome.ts';
import { readDecision } from '../author/retry-policy.ts';
import { cutForDisplay } from '../author/serialize/value.ts';
import { isTrigger, SKIP_FIELD } from '../author/until.ts';
import { callTaskCallback } from './callbacks.ts';
import { makeContext } from './context.ts';
import type { Assignment, TaskHost } from './host.ts';
import { resolveInput } from './inputs.ts';
import { resolveNeeds } from './needs.ts';
import { successOf } from './result.ts';
import { describeThrown } from './stack.ts';

/** Never throws: whatever happens becomes the outcome. The task's callback for it has been called by then. */
export async function executeTask(dag: Dag, assignment: Assignment, host: TaskHost): Promise<TaskOutcome> {
  let vertex: TaskVertex | undefined;
  // Until its needs are known, a callback finds none.
  let context: BodyContext | undefined;
  let outcome: TaskOutcome;
  let thrown: unknown;
  try {
    const graph = dag.graph();
    vertex = graph.tasks.get(assignment.context.task_id);
    if (!vertex)
      throw new Error(`Dag ${dag.dagId} has no task ${assignment.context.task_id} in this version of its file.`);
    const [input, needs] = await Promise.all([
      resolveInput(vertex, graph, host, assignment.context.map_index),
      resolveNeeds(vertex.needs, graph, host),
    ]);
    // Shown while the body runs already; awaited so that it is there before the outcome is.
    const shown = Object.keys(input).length > 0 ? host.showInput(cutForDisplay(input as never)) : Promise.resolve();
    context = makeContext(dag, assignment, needs, host);
    outcome = await runBody(vertex, graph, input, context, host, assignment.context.resumed);
    await shown.catch((error: unknown) => {
      host.log('warning', `The task's input could not be stored for display: ${describeThrown(error).message}`);
    });
  } catch (caught) {
    thrown = caught;
    outcome = outcomeOfThrown(caught);
  }
  if (!vertex) return outcome;
  outcome = decided(vertex, outcome, thrown, assignment.context, host);
  // Told to stop: the supervisor ends it, whatever it says now, and the server calls what it has for that.
  if (assignment.signal.aborted) return outcome.state === 'failed' ? { ...outcome, abrupt: true } : outcome;
  const { should_retry: shouldRetry } = assignment.context;
  context ??= makeContext(dag, assignment, {}, host);
  await callTaskCallback(vertex, outcome, { context, thrown, shouldRetry }, host);
  return outcome;
}

type BodyContext = ReturnType<typeof makeContext>;
type Resumed = Assignment['context']['resumed'];

async function runBody(
  vertex: TaskVertex,
  graph: Graph,
  input: Readonly<Record<string, unknown>>,
  context: BodyContext,
  host: TaskHost,
  resumed: Resumed,
): Promise<TaskOutcome> {
  const { body } = vertex;
  if (body.kind === 'task') return successOf(await body.run(input, context), vertex, graph);
  if (body.kind === 'wait') return await wait(body, vertex, graph, context, host, resumed);
  const ready = await body.check(context);
  if (typeof ready !== 'boolean') throw new TypeError('The check of a sensor has to return true or false.');
  if (ready) return { state: 'success', has_value: false, mapped_length: null };
  const waitedSeconds = (host.nowMs() - context.task.startDate.getTime()) / 1000;
  if (waitedSeconds < body.sensorTimeout) return { state: 'reschedule', after_seconds: body.every };
  const message = `The sensor waited ${Math.round(waitedSeconds)} s; its timeout is ${body.sensorTimeout} s.`;
  return { state: 'failed', retryable: false, error: { name: 'SensorTimeout', message, stack: '' } };
}

/** Before the wait: what to wait for. After it: what came of that. */
async function wait(
  body: Extract<TaskVertex['body'], { kind: 'wait' }>,
  vertex: TaskVertex,
  graph: Graph,
  context: BodyContext,
  host: TaskHost,
  resumed: Resumed,
): Promise<TaskOutcome> {
  if (resumed === undefined) {
    const trigger = await body.until(context);
    if (!isTrigger(trigger)) throw new TypeError("until has to give a trigger, such as until.delay('2h').");
    const kwargs = trigger.arguments(host.nowMs());
    return { state: 'deferred', trigger: trigger.name, kwargs, timeout_seconds: body.waitTimeout };
  }
  if ('event' in resumed) {
    const { event } = resumed;
    if (typeof event === 'object' && event !== null && SKIP_FIELD in event) throw new Skip(String(event[SKIP_FIELD]));
    return successOf(event, vertex, graph);
  }
  if (resumed.timed_out) {
    const message = `What the task waits for did not come within ${body.waitTimeout} s.`;
    return { state: 'failed', retryable: false, error: { name: 'WaitTimeout', message, stack: '' } };
  }
  return { state: 'failed', retryable: true, error: { name: 'TriggerFailure', message: resumed.failure, stack: '' } };
}

/** What the task's policy says about its error. One that fails itself is logged, and changes nothing. */
function decided(
  vertex: TaskVertex,
  outcome: TaskOutcome,
  thrown: unknown,
  { try_number: tryNumber, max_tries: retries }: Assignment['context'],
  host: TaskHost,
): TaskOutcome {
  const policy = vertex.options.retryPolicy;
  if (policy === undefined || outcome.state !== 'failed' || !outcome.retryable) return outcome;
  const { name, message } = outcome.error;
  const error = thrown instanceof Error ? thrown : Object.assign(new Error(message), { name });
  try {
    const decision = readDecision(policy(error, { tryNumber, maxTries: retries + 1 }));
    if (decision === null) return outcome;
    if (decision.kind === 'fail') {
      host.log('info', `The retry policy ends the task: ${decision.reason}`);
      return { ...outcome, retryable: false };
    }
    return { ...outcome, retry: { delay_seconds: decision.delaySeconds, reason: decision.reason } };
  } catch (failure) {
    host.log('error', `The retry policy failed, and changes nothing: ${describeThrown(failure).message}`);
    return outcome;
  }
}

/** The outcome of a body that threw. Also for errors that nobody awaited. */
export function outcomeOfThrown(thrown: unknown): TaskOutcome {
  if (isSkip(thrown)) return { state: 'skipped', reason: describeThrown(thrown).message };
  return { state: 'failed', retryable: !isFail(thrown), error: describeThrown(thrown) };
}
