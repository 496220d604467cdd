/** The graph that a builder function makes: plain data, read by the serializer, the runner and the test helper. */
import type { TaskCallbackMap } from './callbacks.ts';
import { DagError } from './dag-error.ts';
import type { RetryDelay } from './duration.ts';
import type { NeedHandles } from './handles.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { Reads } from './until.ts';

/** Options of one task after the Dag's `defaults`. Absent = the format's default. Durations are seconds. */
export type ResolvedOptions = {
  readonly retries?: number;
  readonly retryDelay?: RetryDelay;
  readonly retryPolicy?: RetryPolicy;
  readonly timeout?: number;
  readonly pool?: string;
  readonly poolSlots?: number;
  readonly queue: string;
  readonly priority?: number;
  readonly owner?: string;
  readonly dependsOnPast?: boolean;
  readonly docs?: string;
  readonly displayName?: string;
};

/** A body as the author wrote it; its arguments are built by the runner, so their types are gone here. */
export type TaskBody = (input: unknown, context: unknown) => unknown;
export type SensorBody = (context: unknown) => unknown;

export type Fanout = {
  /** Argument name → list (elements may be or contain nodes), or the node whose result is the list. */
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly limit: number | null;
  readonly concurrency: number | null;
};

/** One task of the Dag. */
export type TaskVertex = {
  readonly taskId: string;
  readonly body:
    | { readonly kind: 'task'; readonly run: TaskBody }
    | {
        readonly kind: 'wait';
        readonly until: (context: unknown) => unknown;
        readonly waitTimeout: number | null;
        readonly reads: Reads;
      }
    | { readonly kind: 'sensor'; readonly check: SensorBody; readonly every: number; readonly sensorTimeout: number };
  readonly options: ResolvedOptions;
  readonly needs: NeedHandles;
  readonly callbacks: TaskCallbackMap;
  /** The argument of the body, or of each instance besides its element; nodes stand where results will. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly fanout: Fanout | null;
  /** Ids of the tasks whose results it takes. */
  readonly takes: ReadonlySet<string>;
  /** Ids of all tasks that it waits for: those that it takes from, and those named by `after`. */
  readonly upstream: ReadonlySet<string>;
};

export type GroupVertex = {
  /** Full id; null for the root. */
  readonly groupId: string | null;
  readonly docs?: string;
  readonly displayName?: string;
  /** In the order of the source. */
  readonly children: ReadonlyArray<{ readonly task: string } | { readonly group: GroupVertex }>;
};

export type Graph = {
  /** In the order in which the source placed them. */
  readonly tasks: ReadonlyMap<string, TaskVertex>;
  readonly root: GroupVertex;
  /** Ids that were declared and never called. */
  readonly unused: readonly string[];
};

/** Ids of the direct downstream tasks of each task, sorted. */
export function downstreamOf(tasks: ReadonlyMap<string, TaskVertex>): ReadonlyMap<string, readonly string[]> {
  const down = new Map<string, string[]>([...tasks.keys()].map((id) => [id, []]));
  for (const task of tasks.values()) for (const above of task.upstream) down.get(above)!.push(task.taskId);
  for (const list of down.values()) list.sort();
  return down;
}

/** @throws DagError that names the tasks of one cycle, in order */
export function refuseCycles(tasks: ReadonlyMap<string, TaskVertex>): void {
  const down = downstreamOf(tasks);
  const done = new Set<string>();
  for (const start of tasks.keys()) {
    // Depth first without recursion: a chain may be longer than the call stack.
    const path: Array<{ id: string; next: number }> = done.has(start) ? [] : [{ id: start, next: 0 }];
    const onPath = new Set(path.map((p) => p.id));
    while (path.length > 0) {
      const top = path.at(-1)!;
      const child = down.get(top.id)![top.next++];
      if (child === undefined) {
        done.add(top.id);
        onPath.delete(top.id);
        path.pop();
      } else if (onPath.has(child)) {
        const ids = path.map((p) => p.id);
        const cycle = [...ids.slice(ids.indexOf(child)), child];
        throw new DagError(`The tasks form a cycle: ${cycle.join(' → ')}.`, 'Remove one of these edges.');
      } else if (!done.has(child)) {
        onPath.add(child);
        path.push({ id: child, next: 0 });
      }
    }
  }
}
