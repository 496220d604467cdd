/** Where the log of one try lies, relative to the root: names of the Dag's author, made harmless. */
import { createHash } from 'node:crypto';

export type LogRef = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly tryNumber: number;
};

/** Longest part of a path, bytes; the kernel's limit is 255. */
const MAX_PART_BYTES = 240;

/**
 * Percent-encodes all but letters, digits and `_ . + : ~ -`; what stays too long is cut and told apart by its digest.
 * A part always carries a `key=` prefix, so none is ever `.` or `..`.
 */
function part(key: string, value: string): string {
  const name = encodeURIComponent(value).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const shown = `${key}=${name.replaceAll('%2B', '+').replaceAll('%3A', ':')}`;
  if (shown.length <= MAX_PART_BYTES) return shown;
  const digest = createHash('sha256').update(value).digest('hex').slice(0, 32);
  return `${shown.slice(0, MAX_PART_BYTES - 34).replace(/%[0-9A-F]?$/, '')}~~${digest}`;
}

/** Folder names and the file name, from the root down. */
export function logParts(ref: LogRef): readonly string[] {
  const parts = [part('dag_id', ref.dagId), part('run_id', ref.runId), part('task_id', ref.taskId)];
  if (ref.mapIndex >= 0) parts.push(`map_index=${ref.mapIndex}`);
  return [...parts, `attempt=${ref.tryNumber}.log`];
}

/** Folder of all logs of a run, from the root down. */
export function runLogParts(run: Pick<LogRef, 'dagId' | 'runId'>): readonly string[] {
  return [part('dag_id', run.dagId), part('run_id', run.runId)];
}

/** As the workload names it. */
export function logPath(ref: LogRef): string {
  return logParts(ref).join('/');
}
