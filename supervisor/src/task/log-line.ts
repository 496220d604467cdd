/** One line of a log as it is stored: a JSON object, with nothing left in it to hide. */
import type { Masked, Masker } from './mask.ts';

/** Who said a line: `airlock` is the worker and nobody else; the others, and names of a task's own loggers, are the task. */
export type LogSource = 'task.stdout' | 'task.stderr' | 'task' | 'airlock' | (string & {});

/** Takes what is said by a process, and about it. */
export type LineSink = {
  /** Takes no more of what a process says: who has it need not even cut it into lines. */
  readonly full: boolean;
  /** Masks what it is given. */
  add(source: LogSource, level: string, event: string, fields?: Readonly<Record<string, unknown>>, atMs?: number): void;
  /** A line of plain output, masked already. */
  addLine(source: 'task.stdout' | 'task.stderr', level: string, line: Masked): void;
};

/**
 * Masked before it becomes JSON: afterwards a mask could take away a quote that the JSON needs, and a secret with an escaped
 * character would have one form more.
 */
export function logLine(
  masker: Masker,
  source: LogSource,
  level: string,
  event: string,
  fields: Readonly<Record<string, unknown>> | undefined,
  atMs: number,
): string {
  const shown = fields === undefined ? undefined : (masker.maskTexts(fields) as Record<string, unknown>);
  return plainLine(masker.mask(source), level, masker.maskCut(event), atMs, shown);
}

export function plainLine(
  source: string,
  level: string,
  event: Masked,
  atMs: number,
  fields?: Readonly<Record<string, unknown>>,
): string {
  const timestamp = new Date(atMs).toISOString();
  return JSON.stringify({ ...fields, timestamp, level, event, logger: source });
}
