/**
 * The child's side of the channel to its parent, descriptor 3: what this process is given, and how it says that it is ready,
 * can't start, or was told to stop. `bin/` files use it when `handedOver()`; started by hand they read airlock.cfg themselves.
 * @see contract/src/ipc/handover.ts
 */
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { Socket } from 'node:net';
import { SECTIONS } from '@airlock/contract/config/index';
import { refuseStrayValues } from '@airlock/contract/config/must-not-have';
import type { ProcessKind } from '@airlock/contract/config/options';
import { AppError } from '@airlock/contract/errors';
import type { ChildMessage, ParentMessage } from '@airlock/contract/ipc/handover';

/** As CHANNEL_FD of the contract; repeated so that no schema library is loaded for a number. */
const CHANNEL_FD = 3;
/** The word on the command line that says that descriptor 3 is our channel, and not somebody's open file. */
export const HANDOVER_FLAG = '--handover';
/** Well after everything that is needed at start has been loaded, and out of its way. */
const FLUSH_AFTER_MS = 3000;
/** Exit status of a process that can't start, and that starting again would not help. */
export const FATAL_STATUS = 2;

/** What `onStop` says when the parent ended without a word: what this process would tell to its neighbours is heard by nobody. */
export const PARENT_GONE = 'the parent process is gone';

/**
 * The last step of a stop. Without a parent nobody reads our output, and what `process.exit` would do first, flushing the
 * log, may go on for ever: pino repeats a write to a pipe without a reader. So an orphan ends without it.
 */
export function endProcess(why: string, status: number): never {
  if (why === PARENT_GONE) process.abort(); // core dumps are off
  process.exit(status);
}

export type Handover = {
  /** The values of the first message; their type is in contract/src/config/handed.ts. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Later messages. Those that came before the first listener are delivered to it, in order. */
  readonly onMessage: (listener: (message: ParentMessage) => void) => void;
  /** Tells the parent that the work goes on from now. */
  readonly ready: (info: Readonly<Record<string, unknown>>) => void;
  /** Tells the parent why this process can't start, and ends it with status 2. Secrets in `error.internal` stay here. */
  readonly fatal: (error: unknown) => never;
  /** Called once, when the parent is gone. */
  readonly onParentGone: (listener: () => void) => void;
  /** Called once, when it is time to stop in good order: a `stop` message, the parent's end, SIGTERM or SIGINT. */
  readonly onStop: (listener: (why: string) => void) => void;
};

/** Whether a parent of ours started this process. */
export function handedOver(argv: readonly string[] = process.argv): boolean {
  return argv.includes(HANDOVER_FLAG);
}

/**
 * Waits for the first message, and ends the process when its environment holds a sensitive value that no process of its kind
 * may have: a parent of ours puts none there. The channel keeps the process alive until the parent closes it; a parent that goes, or says
 * stop, before it has sent the values ends the process here.
 */
export async function receiveHandover(kind: ProcessKind): Promise<Handover> {
  const socket = new Socket({ fd: CHANNEL_FD, readable: true, writable: true });
  const early: ParentMessage[] = [];
  let deliver: ((message: ParentMessage) => void) | undefined;
  const gone = once();
  const stop = once<string>();
  const first = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  let started = false;
  const lost = () => {
    // Nothing was begun, so there is nothing to stop.
    if (!started) process.exit(0);
    gone.call(undefined);
    stop.call(PARENT_GONE);
  };
  socket.on('error', lost).on('end', lost).on('close', lost);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.call(signal));

  let buffered = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    buffered += text;
    for (let end = buffered.indexOf('\n'); end >= 0; end = buffered.indexOf('\n')) {
      const message = JSON.parse(buffered.slice(0, end)) as ParentMessage;
      buffered = buffered.slice(end + 1);
      if (message.type === 'config') {
        started = true;
        first.resolve(message.values);
      } else if (deliver) deliver(message);
      else early.push(message);
      if (message.type === 'stop') {
        if (!started) process.exit(0);
        stop.call('the parent process said so');
      }
    }
  });

  const send = (message: ChildMessage) => `${JSON.stringify(message)}\n`;
  const values = await first.promise;
  const handover: Handover = {
    values,
    onMessage: (listener) => {
      deliver = listener;
      for (const message of early.splice(0)) listener(message);
    },
    ready: (info) => {
      socket.write(send({ type: 'ready', info }));
      // Node writes its compile cache when it ends in order; a process that is killed would start slowly for ever.
      setTimeout(flushCompileCache, FLUSH_AFTER_MS).unref();
    },
    fatal: (error) => {
      const { code, message, remedy } = describe(error);
      try {
        // Synchronous: process.exit would drop what the socket has not written yet.
        writeSync(CHANNEL_FD, send({ type: 'fatal', code, message, remedy }));
      } catch {
        process.stderr.write(`${code}: ${message}\n${remedy}\n`);
      }
      process.exit(FATAL_STATUS);
    },
    onParentGone: gone.listen,
    onStop: stop.listen,
  };
  try {
    refuseStrayValues(kind, SECTIONS, { env: process.env, ini: {} });
  } catch (error) {
    handover.fatal(error);
  }
  return handover;
}

/** Code, text and remedy of any error, for the operator. */
export function describe(error: unknown): { readonly code: string; readonly message: string; readonly remedy: string } {
  if (error instanceof AppError) return { code: error.code, message: error.message, remedy: error.remedy };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'INTERNAL', message, remedy: 'Report this with the log above.' };
}

/** An event that happens at most once, and is told to a listener that comes later too. */
function once<T = undefined>() {
  let happened: { value: T } | undefined;
  const listeners: Array<(value: T) => void> = [];
  return {
    call: (value: T) => {
      if (happened) return;
      happened = { value };
      for (const listener of listeners) listener(value);
    },
    listen: (listener: (value: T) => void) => {
      if (happened) listener(happened.value);
      else listeners.push(listener);
    },
  };
}
