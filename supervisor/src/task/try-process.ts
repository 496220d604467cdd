/** The process of one try: its output into the log, its messages to whom they concern, and the one way in which it ended. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Answer, RunnerRequest, StartCallback, StartTask } from '@airlock/contract/ipc/runner';
import type { SandboxedChild } from '@airlock/proc/sandbox/index';
import { LineSplitter } from './lines.ts';
import type { LineSink } from './log-line.ts';
import type { Masked, Masker } from './mask.ts';
import type { Ending } from './outcome.ts';

/** How long output may still come after the process and all that it started are gone. */
const DRAIN_MS = 2000;

export type TryProcess = {
  /** The first thing that ended it. */
  readonly ended: Promise<Ending>;
  start(frame: StartTask | StartCallback): void;
  respond(answer: Answer): void;
  /** Ends it for a reason that is not its own. Later reasons change nothing. */
  end(ending: Ending): void;
  /** Asks the task to stop: aborts its `signal`. */
  cancel(reason: string): void;
  /** Resolves when all that was printed before the outcome is in the log. Fast: it waits for nobody. */
  caughtUp(): Promise<void>;
  /** Kills it with all that it started, and resolves when they are gone and their output is in the log. */
  finish(): Promise<void>;
  /** Stops and continues reading its output. */
  hold(on: boolean): void;
};

/** What becomes of the lines that a process prints. */
export type TaskLines = {
  readonly stdout: (line: Masked) => void;
  readonly stderr: (line: Masked) => void;
  readonly maxLine?: number;
};

const plainLines = (log: LineSink): TaskLines => ({
  stdout: (line) => log.addLine('task.stdout', 'info', line),
  stderr: (line) => log.addLine('task.stderr', 'error', line),
});

export function followProcess(
  child: SandboxedChild,
  log: LineSink,
  masker: Masker,
  onRequest: (request: RunnerRequest) => void,
  lines: TaskLines = plainLines(log),
): TryProcess {
  const ended = Promise.withResolvers<Ending>();
  const streams = [
    { stream: child.stdout, lines: new LineSplitter(masker, lines.stdout, lines.maxLine) },
    { stream: child.stderr, lines: new LineSplitter(masker, lines.stderr, lines.maxLine) },
  ];
  let chunks = 0;
  const drained = streams.map(
    ({ stream, lines }) =>
      new Promise<void>((resolve) => {
        stream.on('data', (chunk: Buffer) => {
          chunks++;
          if (!log.full) lines.push(chunk);
        });
        stream.once('error', () => undefined);
        stream.once('close', () => {
          lines.end();
          resolve();
        });
      }),
  );
  child.onBroken((reason) => ended.resolve({ kind: 'broken', reason }));
  child.onFrame((frame) => {
    switch (frame.type) {
      case 'idle':
      case 'bundled':
      case 'source':
      case 'parsed':
      case 'inventory':
      case 'connection_tested':
      case 'timetable_answered':
      case 'trigger_outcome':
      case 'trigger_log':
      case 'trigger_call':
      case 'trigger_event':
      case 'beat':
        return;
      case 'log':
        return log.add('task', frame.level, frame.event, frame.fields, frame.at_ms);
      case 'result':
        return ended.resolve({ kind: 'outcome', outcome: frame.outcome });
      default:
        try {
          onRequest(frame);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          ended.resolve({ kind: 'broken', reason: error.message });
        }
    }
  });
  // Its last message may still be on its way when the exit is known: the channel is read to its end first.
  void child.exited.then((exit) => setImmediate(() => ended.resolve({ kind: 'exited', exit })));
  return {
    ended: ended.promise,
    start: (frame) => child.send(frame),
    respond: (answer) => child.send(answer),
    end: (ending) => ended.resolve(ending),
    cancel: (reason) => child.send({ type: 'cancel', reason }),
    async caughtUp() {
      // What a process wrote before its last message is in the kernel's buffers when we have that message: each turn of
      // the event loop reads what is there, so a turn that reads nothing was the last one.
      for (let before = -1; before !== chunks; ) {
        before = chunks;
        await nextTurn();
      }
    },
    async finish() {
      await child.kill();
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, DRAIN_MS);
      await Promise.race([Promise.all(drained), late.promise]);
      clearTimeout(timer);
    },
    hold(on) {
      for (const { stream } of streams) {
        if (on) stream.pause();
        else stream.resume();
      }
    },
  };
}
