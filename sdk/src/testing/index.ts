/**
 * `@airlock/sdk/testing`: runs a whole Dag inside a test, with no server and no database. Bodies run by the same code as
 * in a worker; waits (retries, sensors, timeouts) are skipped.
 * @see docs/writing-dags.md
 */
import type { RunContext } from '@airlock/contract/ipc/runner';
import type { Dag } from '../author/dag.ts';
import { downstreamOf, type Graph, type TaskVertex } from '../author/graph.ts';
import { NodeRef } from '../author/node.ts';
import type { ConnectionAnswer, TaskHost } from '../runner/host.ts';
import { runInstance, type SkippedClock } from './attempt.ts';
import type { InstanceRun, TaskRun, TestOptions, TestRun } from './types.ts';

export type { InstanceRun, TaskRun, TaskState, TestLogLine, TestOptions, TestRun } from './types.ts';

const DEFAULT_START = '2026-01-01T00:00:00Z';
const DEFAULT_REAL_TIMEOUT_MS = 5_000;

/**
 * Runs every task of the Dag, each after what it waits for, one at a time.
 * @throws Error when the options name a task that the Dag does not have; whatever its builder throws
 */
export async function runDag(dag: Dag, options: TestOptions = {}): Promise<TestRun> {
  const graph = replaceBodies(dag.graph(), options.replace ?? {}, dag.dagId);
  const startMs = Date.parse(options.startDate ?? DEFAULT_START);
  const clock: SkippedClock = { nowMs: startMs };
  const done = new Map<string, TaskRun>();
  const start = new Date(startMs).toISOString();
  const common = {
    dag: withGraph(dag, graph),
    clock,
    host: hostOf(options, done),
    context: contextOf(dag, options, start),
    realTimeoutMs: options.realTimeoutMs ?? DEFAULT_REAL_TIMEOUT_MS,
    tempFolder: options.tempFolder ?? '/tmp',
  };
  for (const vertex of inOrder(graph)) {
    const blocked = blockedBy(vertex, done);
    if (blocked) done.set(vertex.taskId, blocked);
    else if (vertex.fanout === null) {
      const run = await runInstance({ ...common, vertex, mapIndex: -1 });
      done.set(vertex.taskId, { ...run, taskId: vertex.taskId, instances: [] });
    } else {
      const instances: InstanceRun[] = [];
      const length = lengthOf(vertex, done);
      for (let i = 0; i < length; i++) instances.push(await runInstance({ ...common, vertex, mapIndex: i }));
      done.set(vertex.taskId, summary(vertex.taskId, instances));
    }
  }
  return {
    state: leavesOf(graph).some((id) => /failed/.test(done.get(id)!.state)) ? 'failed' : 'success',
    tasks: done,
    task(taskId) {
      const run = done.get(taskId);
      if (run) return run;
      throw new Error(`Dag ${dag.dagId} has no task ${taskId}. It has ${[...done.keys()].join(', ') || 'none'}.`);
    },
    skippedSeconds: (clock.nowMs - startMs) / 1000,
  };
}

function contextOf(dag: Dag, options: TestOptions, start: string) {
  const at = options.logicalDate ?? start;
  return {
    dag_id: dag.dagId,
    run_id: `test__${at}`,
    logical_date: at,
    data_interval_start: at,
    data_interval_end: at,
    run_after: at,
    run_type: 'manual',
    conf: { ...options.params },
  } satisfies Partial<RunContext>;
}

function hostOf(options: TestOptions, done: ReadonlyMap<string, TaskRun>) {
  const own = <T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined =>
    record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
  return {
    async variable(key) {
      const value = own(options.variables, key);
      return value === undefined ? null : typeof value === 'string' ? value : JSON.stringify(value);
    },
    async connection(id): Promise<ConnectionAnswer | null> {
      const given = own(options.connections, id);
      if (given === undefined) return null;
      const { type = given.path === undefined ? 'generic' : 'fs', path, extra, ...rest } = given;
      return { conn_type: type, ...rest, extra: JSON.stringify({ ...extra, ...(path === undefined ? {} : { path }) }) };
    },
    // Copies, as in a real run: what one task changes in them must not change for another.
    result: async (taskId) => structuredClone(done.get(taskId)?.value),
    results: async (taskId) => structuredClone(done.get(taskId)?.value ?? []) as readonly unknown[],
  } satisfies Partial<TaskHost>;
}

/** Each task after all that it waits for; among those that are free, in the order of the source. */
function inOrder(graph: Graph): readonly TaskVertex[] {
  const down = downstreamOf(graph.tasks);
  const waits = new Map([...graph.tasks].map(([id, task]) => [id, task.upstream.size]));
  const ready = [...graph.tasks.keys()].filter((id) => waits.get(id) === 0);
  const order: TaskVertex[] = [];
  for (let next = ready.shift(); next !== undefined; next = ready.shift()) {
    order.push(graph.tasks.get(next)!);
    for (const id of down.get(next)!) {
      waits.set(id, waits.get(id)! - 1);
      if (waits.get(id) === 0) ready.push(id);
    }
  }
  return order;
}

function leavesOf(graph: Graph): readonly string[] {
  return [...downstreamOf(graph.tasks)].filter(([, below]) => below.length === 0).map(([id]) => id);
}

const NEVER_RAN = { value: undefined, tries: 0, looks: 0, error: null, reason: null, logs: [], input: undefined };

/** The state of a task that can't run since something above did not succeed; null when it can. */
function blockedBy(vertex: TaskVertex, done: ReadonlyMap<string, TaskRun>): TaskRun | null {
  const above = [...vertex.upstream].flatMap((id) => {
    const run = done.get(id)!;
    return run.instances.length > 0 ? run.instances.map((instance) => instance.state) : [run.state];
  });
  const state = above.some((s) => /failed/.test(s)) ? 'upstream_failed' : above.includes('skipped') ? 'skipped' : null;
  return state === null ? null : { ...NEVER_RAN, taskId: vertex.taskId, state, instances: [] };
}

function lengthOf(vertex: TaskVertex, done: ReadonlyMap<string, TaskRun>): number {
  return Object.values(vertex.fanout!.inputs).reduce<number>((product, source) => {
    const list = source instanceof NodeRef ? done.get(source.taskId)?.value : source;
    return product * (Array.isArray(list) ? list.length : 0);
  }, 1);
}

function summary(taskId: string, instances: readonly InstanceRun[]): TaskRun {
  if (instances.length === 0)
    return { ...NEVER_RAN, taskId, state: 'skipped', reason: 'nothing to map over', instances };
  const failed = instances.find((instance) => instance.state === 'failed');
  const skipped = instances.every((instance) => instance.state === 'skipped');
  return {
    ...NEVER_RAN,
    taskId,
    state: failed ? 'failed' : skipped ? 'skipped' : 'success',
    // As a reducer sees it: what gave no value is not in the list.
    value: instances.flatMap(({ value }) => (value === undefined ? [] : [value])),
    tries: Math.max(...instances.map((instance) => instance.tries)),
    looks: 0,
    error: failed?.error ?? null,
    logs: instances.flatMap((instance) => instance.logs),
    instances,
  };
}

function replaceBodies(graph: Graph, replace: NonNullable<TestOptions['replace']>, dagId: string): Graph {
  const unknown = Object.keys(replace).find((id) => !graph.tasks.has(id));
  if (unknown !== undefined) throw new Error(`replace: Dag ${dagId} has no task ${unknown}.`);
  const tasks = new Map(
    [...graph.tasks].map(([id, task]): [string, TaskVertex] => {
      const other = Object.hasOwn(replace, id) ? replace[id] : undefined;
      if (!other) return [id, task];
      const body =
        task.body.kind === 'sensor'
          ? { ...task.body, check: (context: unknown) => other({}, context) }
          : { kind: 'task' as const, run: other };
      return [id, { ...task, body }];
    }),
  );
  return { ...graph, tasks };
}

/** The Dag as the executing code sees it, with another graph. */
function withGraph(dag: Dag, graph: Graph): Dag {
  return Object.create(dag, {
    graph: { value: () => graph },
    dagId: { value: dag.dagId },
    params: { value: dag.params },
  }) as Dag;
}
