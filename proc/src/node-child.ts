/** Starting one of our own Node processes: explicit environment, closed descriptors, and a channel on descriptor 3. */
import { spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import type { ChildMessage, ParentMessage } from '@airlock/contract/ipc/handover';
import { type EnterSpec, enterPrefix } from './enter.ts';
import { HANDOVER_FLAG } from './handover.ts';
import { claim } from './own-pids.ts';

export type NodeChildSpec = {
  /** Absolute path of the entry, a `bin/` file. */
  readonly entry: string;
  /** The whole environment of the child: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Another user id, for root; null = our own. */
  readonly runAs: EnterSpec | null;
  /** Flags for Node itself. */
  readonly execArgv?: readonly string[];
  /** Each line that it writes. */
  readonly onLine: (line: string) => void;
};

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type NodeChild = {
  readonly pid: number;
  readonly send: (message: ParentMessage) => void;
  readonly onMessage: (listener: (message: ChildMessage) => void) => void;
  readonly exited: Promise<Exit>;
  /** Asks it to stop (message and end of file on the channel), kills its whole session after `graceMs`. */
  readonly stop: (graceMs: number) => Promise<void>;
};

/** Longest line that is kept from a child; a longer one is cut into several. */
const MAX_LINE = 64 * 1024;

/** @throws PATH_NOT_ENTERABLE, CONFIG_INVALID see enterPrefix */
export function spawnNode(spec: NodeChildSpec): NodeChild {
  const words = [
    ...(spec.runAs ? enterPrefix(spec.runAs) : []),
    process.execPath,
    // No signal opens a debugger in a process that holds keys or a database link.
    '--disable-sigusr1',
    ...(spec.execArgv ?? []),
    spec.entry,
    HANDOVER_FLAG,
  ];
  const child = spawn(words[0]!, words.slice(1), {
    env: spec.env,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    // A session of its own: Ctrl-C on our terminal reaches us alone, and what it leaves behind can be killed as a group.
    detached: true,
  });
  claim(child);
  eachLine(child.stdout!, spec.onLine);
  eachLine(child.stderr!, spec.onLine);
  const channel = child.stdio[3] as Duplex;
  channel.on('error', () => undefined); // a dead child; its exit says so
  const listeners: Array<(message: ChildMessage) => void> = [];
  eachLine(channel, (line) => {
    const message = readChildMessage(line);
    if (message) for (const listener of listeners) listener(message);
    else spec.onLine(`not understood from the channel: ${line.slice(0, 200)}`);
  });
  let ended = false;
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => {
      spec.onLine(error.message);
      ended = true;
      resolve({ code: null, signal: null });
    });
    child.once('exit', (code, signal) => {
      ended = true;
      killGroup(child.pid);
      resolve({ code, signal });
    });
  });
  const send = (message: ParentMessage) => {
    if (!ended && channel.writable) channel.write(`${JSON.stringify(message)}\n`);
  };
  return {
    pid: child.pid ?? 0,
    send,
    onMessage: (listener) => {
      listeners.push(listener);
    },
    exited,
    stop: async (graceMs) => {
      send({ type: 'stop' });
      if (!ended) channel.end();
      const timer = setTimeout(() => {
        if (!ended) child.kill('SIGKILL');
      }, graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in the group, which is the usual case.
  }
}

function eachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    while (rest.length > MAX_LINE) {
      lines.push(rest.slice(0, MAX_LINE));
      rest = rest.slice(MAX_LINE);
    }
    for (const line of lines) if (line !== '') onLine(line);
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}

/** Checked by hand: loading the schema library would cost this process more memory than all its own code. */
function readChildMessage(line: string): ChildMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  const message = value as Record<string, unknown> | null;
  if (message?.type === 'ready' && typeof message.info === 'object' && message.info !== null)
    return message as ChildMessage;
  const texts = [message?.code, message?.message, message?.remedy];
  return message?.type === 'fatal' && texts.every((text) => typeof text === 'string')
    ? (message as ChildMessage)
    : null;
}
