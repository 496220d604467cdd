/** Builds the graph of one Dag: what `d` does inside the builder function. */
import { readTaskCallbacks } from './callbacks.ts';
import { DagError, show } from './dag-error.ts';
import { parseDuration } from './duration.ts';
import type { Fanout, Graph, GroupVertex, ResolvedOptions, SensorBody, TaskBody, TaskVertex } from './graph.ts';
import { refuseCycles } from './graph.ts';
import type { NeedHandles } from './handles.ts';
import { NodeRef, nodesIn } from './node.ts';
import {
  checkId,
  checkKeys,
  readInteger,
  readNeeds,
  readReads,
  readText,
  resolveOptions,
  SENSOR_KEYS,
  TASK_KEYS,
  WAIT_KEYS,
} from './options.ts';
import { isTrigger } from './until.ts';

type Template = Pick<TaskVertex, 'body' | 'options' | 'needs' | 'callbacks'>;
type Trusted = { readonly run: TaskBody; readonly needs?: NeedHandles } & Readonly<Record<string, unknown>>;
type Mutable = Omit<TaskVertex, 'upstream'> & { readonly upstream: Set<string> };
type OpenGroup = Omit<GroupVertex, 'children'> & { readonly children: Array<{ task: string } | { group: OpenGroup }> };

const SENSOR_EVERY_SECONDS = 60;
const SENSOR_TIMEOUT_SECONDS = 7 * 86_400;
const MAX_TASKS = 10_000;
/** A task that runs has no use for its options: the supervisor and the server act on them. */
const UNREAD_OPTIONS: ResolvedOptions = { queue: '' };

export class GraphBuilder {
  readonly dagId: string;
  readonly #defaults: Readonly<Record<string, unknown>>;
  readonly #tasks = new Map<string, Mutable>();
  readonly #declared = new Set<string>();
  readonly #groups = new Set<string>();
  readonly #root: OpenGroup = { groupId: null, children: [] };
  #group: OpenGroup = this.#root;
  readonly #trusted: boolean;
  #sealed = false;

  /** @param trusted the same source was checked when it was parsed: only what a running task needs is read. */
  constructor(dagId: string, defaults: Readonly<Record<string, unknown>>, trusted = false) {
    this.#trusted = trusted;
    this.dagId = dagId;
    this.#defaults = defaults;
  }

  task(name: unknown, given: unknown): unknown {
    const taskId = this.#newId('task', name);
    if (this.#trusted) return this.#declareTrusted(taskId, given as Trusted);
    const options = checkKeys(`task ${taskId}`, given, TASK_KEYS);
    if (typeof options.run !== 'function') {
      throw new DagError(
        `task ${taskId}: run is ${show(options.run)}, not a function.`,
        'Write run: async (input, ctx) => { … }.',
      );
    }
    return this.#declare(taskId, {
      body: { kind: 'task', run: options.run as TaskBody },
      options: resolveOptions(options, this.#defaults, `task ${taskId}`, false),
      needs: readNeeds(options.needs, `task ${taskId}`),
      callbacks: readTaskCallbacks(options, this.#defaults, `task ${taskId}`),
    });
  }

  sensor(name: unknown, given: unknown): unknown {
    const taskId = this.#newId('task', name);
    const where = `sensor ${taskId}`;
    const options = checkKeys(where, given, [...SENSOR_KEYS, 'timeout']);
    if (typeof options.check !== 'function') {
      throw new DagError(
        `${where}: check is ${show(options.check)}, not a function.`,
        'Write check: async (ctx) => true.',
      );
    }
    const seconds = (key: string, fallback: number) =>
      options[key] === undefined ? fallback : parseDuration(options[key], `${where}.${key}`, { min: 0.1 });
    const body = {
      kind: 'sensor' as const,
      check: options.check as SensorBody,
      every: seconds('every', SENSOR_EVERY_SECONDS),
      sensorTimeout: seconds('timeout', SENSOR_TIMEOUT_SECONDS),
    };
    const resolved = resolveOptions(options, this.#defaults, where, true);
    const callbacks = readTaskCallbacks(options, this.#defaults, where);
    return this.#declare(taskId, { body, options: resolved, needs: readNeeds(options.needs, where), callbacks });
  }

  wait(name: unknown, given: unknown): unknown {
    const taskId = this.#newId('task', name);
    const where = `wait ${taskId}`;
    const options = checkKeys(where, given, WAIT_KEYS);
    const { until } = options;
    if (typeof until !== 'function' && !isTrigger(until)) {
      throw new DagError(`${where}: until is ${show(until)}, no trigger.`, "Write until: until.delay('2h').");
    }
    const body = {
      kind: 'wait' as const,
      until: typeof until === 'function' ? (until as (context: unknown) => unknown) : () => until,
      waitTimeout:
        options.timeout === undefined ? null : parseDuration(options.timeout, `${where}.timeout`, { min: 0.1 }),
      reads: readReads(options.reads ?? (isTrigger(until) ? until.reads : {}), where),
    };
    const resolved = resolveOptions(options, this.#defaults, where, true);
    const callbacks = readTaskCallbacks(options, this.#defaults, where);
    return this.#declare(taskId, { body, options: resolved, needs: readNeeds(options.needs, where), callbacks });
  }

  group(name: unknown, ...rest: readonly unknown[]): unknown {
    const groupId = this.#newId('group', name);
    const build = rest.at(-1);
    if (typeof build !== 'function') {
      throw new DagError(`group ${groupId}: no function was given.`, "Write d.group('load', (d) => { … }).");
    }
    const options = rest.length > 1 ? checkKeys(`group ${groupId}`, rest[0], ['docs', 'displayName']) : {};
    const outer = this.#group;
    const inner: OpenGroup = {
      groupId,
      docs: readText(options, 'docs', `group ${groupId}`, 100_000),
      displayName: readText(options, 'displayName', `group ${groupId}`),
      children: [],
    };
    outer.children.push({ group: inner });
    this.#groups.add(groupId);
    this.#group = inner;
    try {
      return refusePromise(build(this), `group ${groupId}`);
    } finally {
      this.#group = outer;
    }
  }

  addEdge(taskId: string, upstreamId: string): void {
    this.#checkOpen();
    if (taskId === upstreamId) {
      throw new DagError(`The tasks form a cycle: ${taskId} → ${taskId}.`, 'A task can not wait for itself.');
    }
    this.#tasks.get(taskId)!.upstream.add(upstreamId);
  }

  /** Ends the building. @throws DagError when the tasks form a cycle */
  seal(): Graph {
    this.#sealed = true;
    if (!this.#trusted) refuseCycles(this.#tasks);
    const unused = [...this.#declared].filter((id) => !this.#tasks.has(id));
    return { tasks: this.#tasks, root: this.#root, unused };
  }

  #checkOpen(): void {
    if (!this.#sealed) return;
    throw new DagError(
      `Dag ${this.dagId} is complete: a task was added after its builder returned.`,
      'Add tasks inside the builder only.',
    );
  }

  #newId(kind: 'task' | 'group', name: unknown): string {
    this.#checkOpen();
    checkId(kind, name);
    const id = this.#group.groupId === null ? name : `${this.#group.groupId}.${name}`;
    checkId(kind, id);
    this.#refuseTaken(id);
    return id;
  }

  #refuseTaken(id: string): void {
    if (!this.#declared.has(id) && !this.#groups.has(id)) return;
    throw new DagError(`The id ${id} occurs twice in Dag ${this.dagId}.`, 'Give each task and group its own id.');
  }

  #declareTrusted(taskId: string, given: Trusted): unknown {
    const { run, needs = {} } = given;
    const callbacks = readTaskCallbacks(given, this.#defaults, taskId);
    return this.#declare(taskId, { body: { kind: 'task', run }, options: UNREAD_OPTIONS, needs, callbacks });
  }

  #declare(taskId: string, template: Template): unknown {
    this.#declared.add(taskId);
    const make = (fixed: Readonly<Record<string, unknown>>, id: string, group: OpenGroup): unknown => {
      const call = (input?: unknown) =>
        this.#place(id, template, { ...fixed, ...this.#inputOf(id, input) }, null, group);
      return Object.assign(call, {
        taskId: id,
        map: (inputs: unknown, options?: unknown) =>
          this.#place(id, template, fixed, this.#fanout(id, inputs, options), group),
        with: (more: unknown) => make({ ...fixed, ...this.#inputOf(id, more) }, id, group),
        as: (name: unknown) => {
          const other = this.#newId('task', name);
          this.#declared.add(other);
          return make(fixed, other, this.#group);
        },
      });
    };
    return make({}, taskId, this.#group);
  }

  #inputOf(taskId: string, input: unknown): Readonly<Record<string, unknown>> {
    if (input === undefined) return {};
    const plain = typeof input === 'object' && input !== null && !Array.isArray(input) && !(input instanceof NodeRef);
    if (plain) return input as Readonly<Record<string, unknown>>;
    throw new DagError(
      `task ${taskId}: the input is not an object of named values.`,
      `Write it as ${taskId}({ rows: other() }).`,
    );
  }

  #fanout(taskId: string, inputs: unknown, options: unknown): Fanout {
    const where = `task ${taskId}: map`;
    const given = options === undefined ? {} : checkKeys(where, options, ['limit', 'concurrency']);
    const entries = Object.entries(this.#inputOf(taskId, inputs)).filter(([, value]) => value !== undefined);
    if (entries.length === 0) throw new DagError(`${where} has nothing to map over.`, 'Give at least one list.');
    for (const [name, value] of entries) {
      if (Array.isArray(value) || value instanceof NodeRef) continue;
      throw new DagError(
        `${where}: ${name} is ${show(value)}, not a list.`,
        `Fix a constant first: ${taskId}.with({ ${name} }).map(…).`,
      );
    }
    return {
      inputs: Object.fromEntries(entries),
      limit: readInteger(given, 'limit', where, 1, 1_000_000) ?? null,
      concurrency: readInteger(given, 'concurrency', where, 1, 1_000_000) ?? null,
    };
  }

  #place(
    taskId: string,
    template: Template,
    input: Readonly<Record<string, unknown>>,
    fanout: Fanout | null,
    group: OpenGroup,
  ): NodeRef {
    this.#checkOpen();
    if (this.#tasks.has(taskId)) {
      throw new DagError(
        `Task ${taskId} is called twice.`,
        `A task is one place in the Dag; use ${taskId}.as('other_id')(…) for a second one.`,
      );
    }
    if (this.#tasks.size >= MAX_TASKS) {
      throw new DagError(`Dag ${this.dagId} has more than ${MAX_TASKS} tasks.`, 'Use map for many alike tasks.');
    }
    const takes = nodesIn(input, this, `task ${taskId}`, taskId);
    if (fanout) for (const id of nodesIn(fanout.inputs, this, `task ${taskId}`, taskId)) takes.add(id);
    group.children.push({ task: taskId });
    this.#tasks.set(taskId, { taskId, ...template, input, fanout, takes, upstream: new Set(takes) });
    return new NodeRef(taskId, this);
  }
}

/** @throws DagError when a builder function was asynchronous: its tasks would come too late */
export function refusePromise<T>(value: T, where: string): T {
  if (typeof (value as { then?: unknown } | null | undefined)?.then === 'function') {
    throw new DagError(
      `${where}: the builder is asynchronous.`,
      'Build the Dag synchronously; put waiting work into a task.',
    );
  }
  return value;
}
