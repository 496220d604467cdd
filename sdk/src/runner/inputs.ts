/** From nodes in a task's input to the values that the tasks above have given. */
import type { Fanout, Graph, TaskVertex } from '../author/graph.ts';
import { NodeRef } from '../author/node.ts';
import { Fail } from '../author/outcome.ts';
import type { TaskHost } from './host.ts';

/**
 * The argument of the body: constants, results of other tasks and, in a fan-out, the element at `mapIndex`.
 * Each result is asked for once, all at the same time.
 */
export async function resolveInput(
  vertex: TaskVertex,
  graph: Graph,
  host: TaskHost,
  mapIndex: number,
): Promise<Readonly<Record<string, unknown>>> {
  const ids = [...vertex.takes];
  const values = await Promise.all(ids.map((id) => resultOf(id, graph, host)));
  const results = new Map(ids.map((id, i) => [id, values[i]]));
  const input = substitute(vertex.input, results) as Record<string, unknown>;
  return vertex.fanout ? { ...input, ...elementAt(vertex.fanout, results, mapIndex, vertex.taskId) } : input;
}

/** What a task of the run has given: of a fan-out the list, undefined where there is nothing. */
export async function resultOf(taskId: string, graph: Graph, host: TaskHost): Promise<unknown> {
  return graph.tasks.get(taskId)?.fanout ? await host.results(taskId) : await host.result(taskId);
}

function substitute(value: unknown, results: ReadonlyMap<string, unknown>): unknown {
  if (value instanceof NodeRef) return results.get(value.taskId);
  if (Array.isArray(value)) return value.map((item) => substitute(item, results));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, results)]));
}

/** Combination number `mapIndex` of the lists; the last list varies fastest. @see scheduling semantics 6.1 */
function elementAt(fanout: Fanout, results: ReadonlyMap<string, unknown>, mapIndex: number, taskId: string) {
  const lists = Object.entries(fanout.inputs).map(([name, source]) => {
    const list = substitute(source, results);
    if (!Array.isArray(list)) throw new Fail(`Task ${taskId} maps over ${name}, and what it was given is not a list.`);
    return { name, list };
  });
  const length = lists.reduce((product, { list }) => product * list.length, 1);
  if (fanout.limit !== null && length > fanout.limit) {
    throw new Fail(`Task ${taskId} would run ${length} times; its limit is ${fanout.limit}.`);
  }
  if (mapIndex < 0 || mapIndex >= length) {
    throw new Fail(`Task ${taskId} has no element number ${mapIndex}: its lists give ${length}.`);
  }
  const element: Record<string, unknown> = {};
  let rest = mapIndex;
  for (const { name, list } of lists.reverse()) {
    element[name] = list[rest % list.length];
    rest = Math.floor(rest / list.length);
  }
  return element;
}
