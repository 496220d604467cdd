/**
 * Keeping something running: started, restarted with backoff when it dies, stopped once. What runs is a `Running`: one of our
 * own Node processes (`nodeService`) or a postmaster.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, ERRORS, type ErrorCode } from '@airlock/contract/errors';
import type { ParentMessage } from '@airlock/contract/ipc/handover';
import { type Exit, type NodeChildSpec, spawnNode } from './node-child.ts';

export type Info = Readonly<Record<string, unknown>>;

export type Running = {
  readonly pid: number;
  /** Fulfilled when it does its work. Rejected with an AppError when it says that it can't start. */
  readonly ready: Promise<Info>;
  readonly exited: Promise<Exit>;
  readonly send: (message: ParentMessage) => void;
  readonly stop: (graceMs: number) => Promise<void>;
};

export type ServiceSpec = {
  readonly name: string;
  /** Makes a new one. Called again for each restart. */
  readonly start: () => Promise<Running>;
  /** Each time it has become ready: first start and restarts. */
  readonly onReady?: (info: Info, restarts: number) => void;
  /** Each time it ended without being asked to. */
  readonly onDown?: (exit: Exit) => void;
  readonly log: (level: 'info' | 'warning' | 'error', message: string) => void;
};

export type Service = {
  readonly name: string;
  /** Fulfilled when it was ready for the first time. @throws AppError when it said before that that it can't start */
  readonly firstReady: Promise<Info>;
  /**
   * Fulfilled at once while it is ready, else when it is next, however often it fails on the way.
   * @throws AppError as `firstReady`
   */
  readonly whenReady: () => Promise<Info>;
  /** The process that runs now, 0 between two. */
  readonly pid: () => number;
  readonly send: (message: ParentMessage) => void;
  /** Never restarts after this. Resolves when nothing of it runs. */
  readonly stop: (graceMs: number) => Promise<void>;
};

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 5000;
/** So many deaths before it ever worked, and it is given up: nobody is helped by an endless first start. */
const FIRST_START_TRIES = 3;
/** After this long a start counts as good, and the next death is healed at once again. */
const STEADY_MS = 10_000;

/** Delay before start number `failures` + 1, ms. The first death is healed without any. Pure. */
export function restartDelayMs(failures: number): number {
  return failures <= 1 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 2));
}

export function keepRunning(spec: ServiceSpec): Service {
  const firstReady = Promise.withResolvers<Info>();
  firstReady.promise.catch(() => undefined);
  // Replaced only when one that was ready ends: who waits for the next goes on waiting through starts that fail.
  let nextReady = firstReady;
  const stopping = new AbortController();
  let current: Running | undefined;
  let wasReady = false;
  let restarts = 0;

  const runOnce = async (): Promise<'again' | 'give up'> => {
    const running = await spec.start();
    current = running;
    if (stopping.signal.aborted) await running.stop(0);
    const outcome = await Promise.race([
      running.ready.then(
        (info) => ({ info }),
        (error: unknown) => ({ error }),
      ),
      running.exited.then((exit) => ({ exit })),
    ]);
    if ('info' in outcome) {
      wasReady = true;
      nextReady.resolve(outcome.info);
      spec.onReady?.(outcome.info, restarts);
    } else if ('error' in outcome && !wasReady) {
      // Before it ever worked, its own word that it can't start is final. Later it may be a neighbour's fault, and pass.
      await running.exited;
      current = undefined;
      firstReady.reject(outcome.error);
      return 'give up';
    } else if ('error' in outcome) spec.log('error', `${spec.name} can't start: ${(outcome.error as Error).message}`);
    const exit = await running.exited;
    current = undefined;
    if ('info' in outcome) nextReady = Promise.withResolvers();
    if (stopping.signal.aborted) return 'give up';
    if (!wasReady && restarts + 1 >= FIRST_START_TRIES) {
      const how = exit.signal ?? `status ${exit.code}`;
      firstReady.reject(
        new AppError('INTERNAL', {
          public: `${spec.name} ended with ${how} before it was ready, ${FIRST_START_TRIES} times in a row.`,
          remedy: 'Its last words stand in the log above.',
        }),
      );
      return 'give up';
    }
    spec.log(
      'warning',
      `${spec.name} (process ${running.pid}) ended with ${exit.signal ?? `status ${exit.code}`}; it is started again`,
    );
    spec.onDown?.(exit);
    return 'again';
  };

  const loop = (async () => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      const startedAt = performance.now();
      try {
        if ((await runOnce()) === 'give up') return;
      } catch (error) {
        if (!wasReady) {
          firstReady.reject(error);
          return;
        }
        spec.log('error', `${spec.name} could not be started: ${(error as Error).message}`);
      }
      restarts += 1;
      failures = performance.now() - startedAt > STEADY_MS ? 1 : failures + 1;
      await sleep(restartDelayMs(failures), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();

  return {
    name: spec.name,
    firstReady: firstReady.promise,
    whenReady: () => nextReady.promise,
    pid: () => current?.pid ?? 0,
    send: (message) => current?.send(message),
    stop: async (graceMs) => {
      stopping.abort();
      await current?.stop(graceMs);
      await loop;
    },
  };
}

export type NodeServiceSpec = Omit<ServiceSpec, 'start'> & {
  /** What to start; called for each start. */
  readonly child: () => NodeChildSpec;
  /**
   * The values for a process that was just started: called for each start, and may wait for something (the process loads its
   * code meanwhile).
   */
  readonly values: (pid: number) => Promise<Readonly<Record<string, unknown>>>;
};

/** One of our own Node processes, kept running. */
export function nodeService(spec: NodeServiceSpec): Service {
  return keepRunning({
    ...spec,
    start: async () => {
      const child = spawnNode(spec.child());
      const ready = Promise.withResolvers<Info>();
      ready.promise.catch(() => undefined);
      child.onMessage((message) => {
        if (message.type === 'ready') ready.resolve(message.info);
        else ready.reject(toError(message));
      });
      spec.values(child.pid).then(
        (values) => child.send({ type: 'config', values: { ...values } }),
        (error: unknown) => {
          ready.reject(error);
          void child.stop(0);
        },
      );
      return { pid: child.pid, ready: ready.promise, exited: child.exited, send: child.send, stop: child.stop };
    },
  });
}

function toError(message: { readonly code: string; readonly message: string; readonly remedy: string }): AppError {
  const code = Object.hasOwn(ERRORS, message.code) ? (message.code as ErrorCode) : 'INTERNAL';
  return new AppError(code, { public: message.message, remedy: message.remedy });
}
