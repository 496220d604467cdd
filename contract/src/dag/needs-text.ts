/**
 * The canonical text of a task's needs, apart from its schema: the SDK writes this text inside the process that runs user
 * code, where loading a schema library for each task would cost more than the task.
 */

/** What a task declared that it will use; names only. `needs.ts` checks the same shape. */
export type NeedsRecord = {
  readonly connections: readonly string[];
  readonly variables: readonly string[];
  readonly xcoms: readonly string[];
  readonly assets: readonly string[];
  readonly dags: readonly string[];
  readonly tasks: readonly string[];
};

/** Field of a serialized task that holds the text. */
export const NEEDS_FIELD = '__airlock_needs';

/** The canonical text: equal needs give equal bytes. Without `tasks` it has none, as before there were any. */
export function encodeNeeds(value: NeedsRecord): string {
  const sorted = (list: readonly string[]) => [...new Set(list)].sort();
  return JSON.stringify({
    assets: sorted(value.assets),
    connections: sorted(value.connections),
    dags: sorted(value.dags),
    ...(value.tasks.length > 0 ? { tasks: sorted(value.tasks) } : {}),
    variables: sorted(value.variables),
    xcoms: sorted(value.xcoms),
  });
}
