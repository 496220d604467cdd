/** One task instance of an in-memory run: tries, looks and waits, with time that is skipped. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RunContext, TaskOutcome } from '@airlock/contract/ipc/runner';
import type { Dag } from '../author/dag.ts';
import type { TaskVertex } from '../author/graph.ts';
import { executeTask } from '../runner/execute.ts';
import type { TaskHost } from '../runner/host.ts';
import type { InstanceRun, TestLogLine } from './types.ts';

export type SkippedClock = { nowMs: number };

type Part = {
  readonly dag: Dag;
  readonly vertex: TaskVertex;
  readonly clock: SkippedClock;
  /** Without `log`, `showInput` and `nowMs`, which belong to the instance. */
  readonly host: Pick<TaskHost, 'variable' | 'connection' | 'result' | 'results'>;
  readonly context: Omit<
    RunContext,
    'task_id' | 'map_index' | 'try_number' | 'max_tries' | 'start_date' | 'reschedule_count' | 'should_retry'
  >;
  readonly mapIndex: number;
  readonly realTimeoutMs: number;
  readonly tempFolder: string;
};

const DEFAULT_RETRY_DELAY_SECONDS = 300;

/** Wait before try `failedTries + 1`, seconds; without the server's jitter. */
function retryWait(vertex: TaskVertex, failedTries: number): number {
  const delay = vertex.options.retryDelay ?? { first: DEFAULT_RETRY_DELAY_SECONDS, max: null };
  return delay.max === null ? delay.first : Math.min(delay.max, delay.first * 2 ** (failedTries - 1));
}

export async function runInstance(part: Part): Promise<InstanceRun> {
  const { vertex, clock, mapIndex } = part;
  const logs: TestLogLine[] = [];
  let input: unknown;
  const host: TaskHost = {
    ...part.host,
    showInput: async (shown) => {
      input = shown;
    },
    log: (level, event, fields) => logs.push({ level, event, fields: fields ?? {}, atMs: clock.nowMs }),
    nowMs: () => clock.nowMs,
  };
  const lastTry = 1 + (vertex.options.retries ?? 0);
  let looks = 0;
  for (let tries = 1; ; tries++) {
    const startedMs = clock.nowMs;
    let outcome: TaskOutcome;
    let resumed: RunContext['resumed'];
    for (;;) {
      const context = {
        ...part.context,
        task_id: vertex.taskId,
        map_index: mapIndex,
        try_number: tries,
        max_tries: lastTry - 1,
        start_date: new Date(startedMs).toISOString(),
        reschedule_count: 0,
        should_retry: tries < lastTry,
        ...(resumed === undefined ? {} : { resumed }),
      };
      if (vertex.body.kind === 'sensor') looks++;
      outcome = await withTimeout(part, context, host);
      if (outcome.state === 'deferred') {
        resumed = waitFor(outcome, clock);
        continue;
      }
      if (outcome.state !== 'reschedule') break;
      clock.nowMs += outcome.after_seconds * 1000;
    }
    const common = { tries, looks, logs, input };
    if (outcome.state === 'success') {
      // Sent as JSON in a real run: properties that are undefined are not there any more.
      const value = outcome.has_value ? (JSON.parse(JSON.stringify(outcome.value)) as unknown) : undefined;
      return { ...common, state: 'success', value, error: null, reason: null };
    }
    if (outcome.state === 'skipped') {
      return { ...common, state: 'skipped', value: undefined, error: null, reason: outcome.reason };
    }
    if (!outcome.retryable || tries >= lastTry) {
      return { ...common, state: 'failed', value: undefined, error: outcome.error, reason: null };
    }
    clock.nowMs += (outcome.retry?.delay_seconds ?? retryWait(vertex, tries)) * 1000;
  }
}

/** The event of a wait for a time, which is skipped. What else a task waits for is for the test to say. */
function waitFor(
  { trigger, kwargs, timeout_seconds: timeout }: Extract<TaskOutcome, { state: 'deferred' }>,
  clock: Part['clock'],
): NonNullable<RunContext['resumed']> {
  if (trigger !== 'airlock.until') {
    return { failure: `A test does not wait for ${trigger}: give its event by replace.`, timed_out: false };
  }
  const at = Date.parse(String(kwargs.at));
  const untilMs = timeout === null ? Number.POSITIVE_INFINITY : clock.nowMs + timeout * 1000;
  clock.nowMs = Math.max(clock.nowMs, Math.min(at, untilMs));
  return at > untilMs ? { failure: 'Trigger timeout', timed_out: true } : { event: { at: kwargs.at } };
}

/** One body, with a work folder of its own. A timeout is cut down to what a test can wait. */
async function withTimeout(part: Part, context: RunContext, host: TaskHost): Promise<TaskOutcome> {
  const abort = new AbortController();
  const workDir = mkdtempSync(join(part.tempFolder, 'airlock-test-'));
  const ownMs =
    part.vertex.options.timeout === undefined ? Number.POSITIVE_INFINITY : part.vertex.options.timeout * 1000;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<TaskOutcome>((resolve) => {
    timer = setTimeout(
      () => {
        const limit = Number.isFinite(ownMs) ? `its timeout of ${ownMs / 1000} s` : 'the time that this test allows';
        const message = `The task took longer than ${limit}.`;
        abort.abort(new Error(message));
        if (Number.isFinite(ownMs)) part.clock.nowMs += ownMs;
        resolve({ state: 'failed', retryable: true, error: { name: 'TaskTimeout', message, stack: '' } });
      },
      Math.min(part.realTimeoutMs, ownMs),
    );
  });
  try {
    return await Promise.race([executeTask(part.dag, { context, workDir, signal: abort.signal }, host), late]);
  } finally {
    clearTimeout(timer);
    rmSync(workDir, { recursive: true, force: true });
  }
}
