/**
 * What a task declared that it will use. Rides in each serialized task as the string field `__airlock_needs`
 * (canonical JSON: sorted keys, sorted lists, no spaces), is stored with the Dag version, and is at once the type of what
 * `run` receives and the right that the server enforces. Absent field = the Dag declares nothing (`airflow` mode).
 */
import { z } from 'zod';

export { encodeNeeds, NEEDS_FIELD } from './needs-text.ts';

const namesOf = (name: z.ZodString) => z.array(name).max(1000).default([]);
const names = namesOf(z.string().min(1).max(250));
export const needs = z.strictObject({
  /** Connection ids that may be read. */
  connections: names,
  /** Variable keys that may be read. */
  variables: names,
  /** Task ids of the same run whose results may be read, besides the task's own. */
  xcoms: names,
  /** Assets that may be emitted, by name. */
  assets: names,
  /** Dags that may be read and triggered, with their runs. */
  dags: names,
  /** Tasks and task groups of Dags whose states may be read, and nothing else of them: `dag_id/task_id`. @see decision 25 */
  tasks: namesOf(z.string().regex(/^[^/]{1,250}\/[^/]{1,250}$/)),
});
export type Needs = z.infer<typeof needs>;
export const NO_NEEDS: Needs = { connections: [], variables: [], xcoms: [], assets: [], dags: [], tasks: [] };

/** Reads the field of a serialized task. @returns null when the task declares nothing. @throws ZodError, SyntaxError */
export function decodeNeeds(text: string | undefined): Needs | null {
  return text === undefined ? null : needs.parse(JSON.parse(text));
}
