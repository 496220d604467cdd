/** Paths of the Execution API that belong to one try. Every part that a Dag or a task names is escaped here. */
import type { ExecuteTaskWorkload } from '@airlock/contract/supervisor-api';

export type TaskInstance = ExecuteTaskWorkload['ti'];

/** One path part. `encodeURIComponent` leaves dots alone, and a part of dots only would be eaten by URL parsers. */
export function part(text: string): string {
  return /^\.+$/.test(text) ? text.replaceAll('.', '%2E') : encodeURIComponent(text);
}

export const selfPath = (ti: TaskInstance, action: string) => `/task-instances/${ti.id}/${action}`;

/** Where XComs of a run are read. */
export type XComPlace = {
  readonly dag_id: string;
  readonly run_id: string;
  /** Before the path: that of a callback; absent = a try asks. */
  readonly below?: string;
};

/** XComs of one task of the run, all map indexes or, by the query, one. */
export function xcomPath(
  { dag_id, run_id, below = '' }: XComPlace,
  taskId: string,
  key: string,
  query: Record<string, string | number> = {},
): string {
  const path = `${below}/xcoms/${part(dag_id)}/${part(run_id)}/${part(taskId)}/${part(key)}`;
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

/** Those of all map indexes, as a list. */
export function xcomSlicePath(of: XComPlace, taskId: string, key: string): string {
  return `${xcomPath(of, taskId, key)}/slice`;
}
