/** What the processes say: everything into one file that never outgrows its bound, and what matters on the terminal. */
import { appendFileSync, renameSync, statSync } from 'node:fs';

export type Level = 'info' | 'warning' | 'error';

export type Log = {
  /** A message of ours. */
  readonly say: (level: Level, message: string) => void;
  /** A line of one of the processes. */
  readonly line: (process: string, line: string) => void;
  /** For people, on standard output: the healthy line and the like. */
  readonly tell: (text: string) => void;
};

export type LogOptions = {
  /** Path of the file; its predecessor is kept as `<path>.1`. */
  readonly path: string;
  readonly maxBytes: number;
  /** One JSON object per line on standard output, and all of them. */
  readonly json: boolean;
  readonly nowMs: () => number;
  readonly write: (text: string) => void;
};

/** Level of a process's line: pino's number when it is JSON, else what it is called. */
export function levelOf(line: string): Level {
  const number = /^\{"level":(\d+)/.exec(line)?.[1];
  if (number !== undefined) return Number(number) >= 50 ? 'error' : Number(number) >= 40 ? 'warning' : 'info';
  if (/^\{"level":"(error|fatal)"|\b(ERROR|FATAL|PANIC):/.test(line)) return 'error';
  if (/^\{"level":"warn|\bWARNING:/.test(line)) return 'warning';
  if (/^(LOG|DETAIL|HINT|NOTICE|STATEMENT|CONTEXT):/.test(line)) return 'info'; // PostgreSQL's

  return line.startsWith('{') ? 'info' : 'warning';
}

/** The text of a JSON log line for people; other lines as they are. */
export function textOf(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { msg, err } = JSON.parse(line) as { msg?: unknown; err?: { message?: unknown } };
    const cause = typeof err?.message === 'string' && err.message !== msg ? `: ${err.message}` : '';
    return typeof msg === 'string' ? msg + cause : line;
  } catch {
    return line;
  }
}

export function createLog(options: LogOptions): Log {
  let size = sizeOf(options.path);
  const toFile = (text: string) => {
    try {
      if (size > options.maxBytes) {
        renameSync(options.path, `${options.path}.1`);
        size = 0;
      }
      appendFileSync(options.path, text, { mode: 0o600 });
      size += Buffer.byteLength(text);
    } catch {
      // A full disk must not end everything: the line is lost, and those on the terminal are not.
    }
  };
  const emit = (process: string, level: Level, line: string) => {
    const time = new Date(options.nowMs()).toISOString();
    const record = `${JSON.stringify({ time, process, level, line })}\n`;
    toFile(record);
    if (options.json) options.write(record);
    else if (level !== 'info') options.write(`${process}: ${textOf(line)}\n`);
  };
  return {
    say: (level, message) => emit('standalone', level, message),
    line: (process, line) => emit(process, levelOf(line), line),
    tell: (text) => options.write(`${text}\n`),
  };
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
