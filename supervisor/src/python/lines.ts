/** From what the Task SDK's supervisor prints, JSON objects a line, to lines of the try's log. Anything else is plain output. */

import type { LineSink } from '../task/log-line.ts';
import type { TaskLines } from '../task/try-process.ts';

/** A traceback is one line, with every frame of it. */
const MAX_LINE = 256 * 1024;
const LEVELS = new Set(['debug', 'info', 'warning', 'error', 'critical']);
/** Who speaks for the SDK's supervisor, and not for the task: Airflow keeps it out of the task's log. Its troubles are kept. */
const ABOUT_ITSELF = new Set(['supervisor', 'airflow.sdk.api.client', 'airflow.sdk.execution_time.execute_workload']);
const QUIET = new Set(['debug', 'info']);

export type PythonLine = {
  readonly source: string;
  readonly level: string;
  readonly event: string;
  readonly atMs: number | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
};

/** Null for a line that is no log record. Pure. */
export function readPythonLine(line: string): PythonLine | null {
  if (!line.startsWith('{')) return null;
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { timestamp, level, event, logger, ...fields } = record;
  if (typeof event !== 'string' || typeof level !== 'string' || !LEVELS.has(level)) return null;
  const atMs = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return {
    // That name is the worker's own: nobody else speaks by it.
    source: typeof logger === 'string' && logger !== 'airlock' ? logger : 'task',
    level,
    event,
    atMs: Number.isNaN(atMs) ? undefined : atMs,
    fields,
  };
}

export function pythonLines(log: LineSink): TaskLines {
  return {
    maxLine: MAX_LINE,
    stdout(line) {
      const read = readPythonLine(line);
      if (read === null) log.addLine('task.stdout', 'info', line);
      else if (!ABOUT_ITSELF.has(read.source) || !QUIET.has(read.level))
        log.add(read.source, read.level, read.event, read.fields, read.atMs);
    },
    stderr: (line) => log.addLine('task.stderr', 'error', line),
  };
}
