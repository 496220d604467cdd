/** Paths of the Execution API that belong to one try. Every part that a Dag or a task names is escaped here. */
import type { ExecuteTaskWorkload } from '@airlock/contract/supervisor-api';

export type TaskInstance = ExecuteTaskWorkload['ti'];

/** One path part. `encodeURIComponent` leaves dots alone, and a part of dots only would be eaten by URL parsers. */
export function part(text: string): string {
  return /^\.+$/.test(text) ? text.replaceAll('.', '%2E') : encodeURIComponent(text);
}

export const selfPath = (ti: TaskInstance, action: string) => `/task-instances/${ti.id}/${action}`;

/** XComs of this run: another task's by name, or the try's own. */
export function xcomPath(
  ti: TaskInstance,
  taskId: string,
  key: string,
  query: Record<string, string | number>,
): string {
  const path = `/xcoms/${part(ti.dag_id)}/${part(ti.run_id)}/${part(taskId)}/${part(key)}`;
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

export function xcomSlicePath(ti: TaskInstance, taskId: string, key: string): string {
  return `/xcoms/${part(ti.dag_id)}/${part(ti.run_id)}/${part(taskId)}/${part(key)}/slice`;
}
