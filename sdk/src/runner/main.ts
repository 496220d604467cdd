/**
 * The process that runs one task, or one callback, and ends: idle until the supervisor sends the task, then import, body, outcome, exit.
 * Everything that costs time (loading this code, entering the sandbox) has happened before the task is known.
 */
import type { StartCallback, StartTask, TaskOutcome, ToRunner } from '@airlock/contract/ipc/runner';
import { type Dag, isDag, trustSettings } from '../author/dag.ts';
import { runCallback } from './callbacks.ts';
import { Channel, RequestRefused } from './channel.ts';
import { executeTask, outcomeOfThrown } from './execute.ts';
import type { ConnectionAnswer, TaskHost } from './host.ts';
import { loadModule, prepareLoading } from './load-module.ts';

const NOT_FOUND = 404;
const RESULT_KEY = 'return_value';

/** Serves this process's one task or callback. Called once, by bin/runner.ts. */
export function serveOneTask(): void {
  const abort = new AbortController();
  let finished = false;
  let started = false;

  const finish = async (outcome: TaskOutcome) => {
    if (finished) return;
    finished = true;
    await drain(process.stdout);
    await drain(process.stderr);
    await channel.flush({ type: 'result', outcome });
    process.exit(0);
  };
  const onFrame = (frame: Exclude<ToRunner, { type: 'answer' }>) => {
    if (frame.type === 'cancel') abort.abort(new Error(frame.reason));
    if (started || (frame.type !== 'start' && frame.type !== 'start_callback')) return;
    started = true;
    void runOne(frame, hostOf(channel), abort.signal).then(finish);
  };
  // Without a parent there is nobody to report to, and nothing that may go on.
  const channel = new Channel(onFrame, () => process.exit(finished ? 0 : 1));

  process.on('uncaughtException', (thrown) => void finish(outcomeOfStray(thrown)));
  process.on('unhandledRejection', (thrown) => void finish(outcomeOfStray(thrown)));
  process.on('exit', (code) => {
    if (finished || !started) return;
    const message = `The task ended its own process with status ${code}, instead of returning.`;
    channel.sendSync({
      type: 'result',
      outcome: { state: 'failed', retryable: true, error: { name: 'ProcessExit', message, stack: '' }, abrupt: true },
    });
  });
  trustSettings();
  prepareLoading();
  channel.send({ type: 'idle', pid: process.pid });
}

/** The outcome of an error that nobody awaited, while the body still runs: its callbacks have not been called. */
function outcomeOfStray(thrown: unknown): TaskOutcome {
  const outcome = outcomeOfThrown(thrown);
  return outcome.state === 'failed' ? { ...outcome, abrupt: true } : outcome;
}

async function runOne(start: StartTask | StartCallback, host: TaskHost, signal: AbortSignal): Promise<TaskOutcome> {
  try {
    const exports = await loadModule(start.module.filename, start.module.code);
    if (start.type === 'start_callback')
      return await runCallback(findDag(exports, start.order.dag_run.dag_id), start, signal, host);
    const dag = findDag(exports, start.context.dag_id);
    return await executeTask(dag, { context: start.context, workDir: start.work_dir, signal }, host);
  } catch (thrown) {
    return outcomeOfThrown(thrown);
  }
}

function findDag(exports: Readonly<Record<string, unknown>>, dagId: string): Dag {
  const found = Object.values(exports).find((value): value is Dag => isDag(value) && value.dagId === dagId);
  if (found) return found;
  throw new Error(`The Dag file exports no Dag ${dagId} when a task runs, though it did when it was parsed.`);
}

function hostOf(channel: Channel): TaskHost {
  const orNull = async <T>(request: Promise<T>): Promise<T | null> => {
    try {
      return await request;
    } catch (error) {
      if (error instanceof RequestRefused && error.status === NOT_FOUND) return null;
      throw error instanceof RequestRefused ? explain(error) : error;
    }
  };
  return {
    async variable(key) {
      const value = await orNull(channel.request({ type: 'get_variable', key }));
      return typeof value === 'object' && value !== null
        ? (value as { value: string | null }).value
        : (value as string | null);
    },
    async connection(id) {
      return (await orNull(channel.request({ type: 'get_connection', conn_id: id }))) as ConnectionAnswer | null;
    },
    async result(taskId) {
      // A result may be null itself; what is absent is undefined.
      const wrapped = await orNull(
        channel
          .request({ type: 'get_xcom', task_id: taskId, key: RESULT_KEY, map_index: -1 })
          .then((value) => ({ value })),
      );
      return wrapped === null ? undefined : wrapped.value;
    },
    async results(taskId) {
      return ((await orNull(channel.request({ type: 'get_xcom_slice', task_id: taskId, key: RESULT_KEY }))) ??
        []) as unknown[];
    },
    async showInput(input) {
      await channel.request({ type: 'set_rendered_fields', fields: { input } });
    },
    log(level, event, fields) {
      const line = { type: 'log' as const, level, event, at_ms: Date.now() };
      try {
        channel.send(fields ? { ...line, fields } : line);
      } catch (error) {
        // Fields larger than a frame: a log line must never fail a task.
        if (!(error instanceof RangeError)) throw error;
        channel.send({ ...line, fields: { dropped: 'the fields were too large' } });
      }
    },
    nowMs: () => Date.now(),
  };
}

function explain(error: RequestRefused): Error {
  const remedy = error.remedy === null ? '' : ` ${error.remedy}`;
  return new Error(`${error.message}${remedy} (${error.code})`, { cause: error });
}

function drain(stream: NodeJS.WriteStream): Promise<void> {
  return stream.writableLength === 0 ? Promise.resolve() : new Promise((resolve) => stream.write('', () => resolve()));
}
