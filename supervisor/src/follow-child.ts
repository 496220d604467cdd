/** A fresh sandboxed child that gives one answer, to its order or by itself: bounded in time, and gone when this is over. */
import type { FromRunner, ToRunner } from '@airlock/contract/ipc/runner';
import type { ChildExit, SandboxedChild } from '@airlock/proc/sandbox/index';

export type FollowOptions<T> = {
  /** Null: the child knows what to do. */
  readonly order: ToRunner | null;
  /** Called for each frame of the child; the first answer counts. */
  readonly onFrame: (frame: FromRunner, answered: (answer: T) => void) => void;
  /** From the order, or from when the child says that it is idle. */
  readonly workMs: number;
  /** Bound of what comes before that; absent = the child is never idle. */
  readonly startMs?: number;
  readonly signal: AbortSignal;
};

export type ChildEnd<T> = {
  /** Null when the child ended without one. */
  readonly answer: T | null;
  readonly late: boolean;
  /** What was wrong with its last message. */
  readonly broken: string | null;
  readonly exit: ChildExit;
};

/** The last characters that a child has written to standard error, `most` at the most; what it prints is read and dropped. */
export function lastWords(child: SandboxedChild, most: number): () => string {
  let stderr = '';
  child.stdout.resume();
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-most);
  });
  return () => stderr;
}

/** Waits for the answer of a child, or its end. @throws the signal's reason */
export async function followChild<T>(child: SandboxedChild, options: FollowOptions<T>): Promise<ChildEnd<T>> {
  const { order, onFrame, workMs, startMs, signal } = options;
  const stop = () => void child.kill();
  signal.addEventListener('abort', stop, { once: true });
  let late = false;
  const arm = (ms: number) =>
    setTimeout(() => {
      late = true;
      stop();
    }, ms);
  let timer = arm(startMs ?? workMs);
  try {
    let broken: string | null = null;
    child.onBroken((reason) => {
      broken = reason;
    });
    const answered = new Promise<T | null>((resolve) => {
      child.onFrame((frame) => {
        if (frame.type === 'idle' && startMs !== undefined) {
          clearTimeout(timer);
          timer = arm(workMs);
        }
        onFrame(frame, resolve);
      });
      void child.exited.then(() => resolve(null));
    });
    if (order !== null) child.send(order);
    const answer = await answered;
    const exit = await child.kill();
    signal.throwIfAborted();
    return { answer, late, broken, exit };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    await child.kill();
  }
}
