/** What a task can wait for without holding a worker. */
import { DagError, show } from './dag-error.ts';
import { type Duration, parseDuration } from './duration.ts';
import { readStates, type TaskStates } from './task-states.ts';

/** Field of an event whose text says why the waiting task is to be skipped. */
export const SKIP_FIELD = '__airlock_skip';

const TRIGGER = Symbol.for('airlock.trigger');
declare const event: unique symbol;

/** Something to wait for, with the type of its event. Made by `until`. */
export interface Trigger<E> {
  readonly [TRIGGER]: true;
  readonly [event]: E;
}

/** What a wait reads beyond its own run: Dags, tasks and assets, by name. Declared, so that nothing else may be read. */
export interface Reads {
  /** A Dag and its runs, which the task may then also start and clear. */
  readonly dags?: readonly string[];
  /** States of tasks in the runs of a Dag, and nothing more: `orders/load`, where `load` is a task or a task group. */
  readonly tasks?: readonly string[];
  readonly assets?: readonly string[];
}

type MadeTrigger = {
  readonly name: string;
  readonly reads: Reads;
  /** JSON for whoever runs it. @param nowMs when the wait begins */
  arguments(nowMs: number): Readonly<Record<string, unknown>>;
};

function trigger<E>(name: string, args: MadeTrigger['arguments'], reads: Reads = {}): Trigger<E> {
  return { [TRIGGER]: true, name, reads, arguments: args } as MadeTrigger & {
    [TRIGGER]: true;
  } as unknown as Trigger<E>;
}

/** True for a trigger of any copy of this package. */
export function isTrigger(value: unknown): value is MadeTrigger {
  return typeof value === 'object' && value !== null && TRIGGER in value;
}

export interface HttpOptions {
  /** Time between two looks. Default 60 s. */
  readonly every?: Duration;
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  /** The status that is waited for. Default 200. */
  readonly status?: number;
  /** Text that the answer has to contain, in its first 100,000 characters. */
  readonly contains?: string;
}

export interface FileOptions {
  /** Time between two looks. Default 60 s. */
  readonly every?: Duration;
}

export interface RunOptions {
  /** Which run: by its id, or by its logical date. */
  readonly runId?: string;
  readonly logicalDate?: Date | string;
  /** Time between two looks. Default 60 s. */
  readonly every?: Duration;
}

/** Which run, and which states of its tasks end the wait. */
export interface TasksOptions extends RunOptions, TaskStates {}

/** What `until.task` and `until.taskGroup` give: the state of each instance; one of a mapped task is `load_0`. */
export interface TasksEvent {
  readonly states: Readonly<Record<string, string>>;
}

export interface AssetOptions {
  /** Events from then on. Default: from the start of the wait. */
  readonly after?: Date | string;
  /** Time between two looks. Default 60 s. */
  readonly every?: Duration;
}

/** An event of an asset, as the wait gives it. */
export interface AssetEvent {
  readonly id: number;
  readonly timestamp: string;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly source: { readonly dagId: string; readonly runId: string; readonly taskId: string } | null;
}

/** @throws DagError for what is no instant, or has no offset and so means another time on each machine */
function checkedInstant(where: string, instant: Date | string): string {
  const hasOffset = instant instanceof Date || /(?:Z|[+-]\d\d:?\d\d)$/i.test(instant);
  const at = new Date(instant);
  if (!hasOffset || Number.isNaN(at.getTime()))
    throw new DagError(`${where}: ${show(instant)} is no instant.`, "Write it as '2026-07-01T12:00:00Z'.");
  return at.toISOString();
}

function checkedText(where: string, value: unknown, max: number): string {
  if (typeof value === 'string' && value !== '' && value.length <= max && !value.includes('\0')) return value;
  throw new DagError(`${where}: ${show(value)} is not a text of 1 to ${max} characters.`, 'Give a text.');
}

/** Which run, in the arguments of a trigger. @throws DagError */
function runOf(where: string, options: RunOptions | undefined) {
  const { runId, logicalDate } = options ?? {};
  if ((runId === undefined) === (logicalDate === undefined))
    throw new DagError(`${where}: which run is not said.`, 'Give runId or logicalDate, one of them.');
  return {
    run_id: runId === undefined ? null : checkedText(`${where}: runId`, runId, 250),
    logical_date: logicalDate === undefined ? null : checkedInstant(`${where}: logicalDate`, logicalDate),
    every: everyOf(`${where}: every`, options?.every),
  };
}

const MAX_TASKS = 100;
/** Of the ids in the path of one look, which has 10,000 characters at most. */
const MAX_IDS_LENGTH = 5000;

function tasksTrigger(
  where: string,
  dagId: string,
  of: { readonly task_ids: readonly string[] } | { readonly task_group_id: string },
  options: TasksOptions,
): Trigger<TasksEvent> {
  const names = 'task_ids' in of ? of.task_ids : [of.task_group_id];
  const given = { dag_id: checkedId(where, dagId), ...of, ...runOf(where, options), ...readStates(where, options) };
  return trigger('airlock.tasks', () => given, { tasks: names.map((name) => `${dagId}/${name}`) });
}

/** The id of a Dag, task or group, which is not looked at before somebody waits. */
function checkedId(where: string, id: unknown): string {
  const text = checkedText(where, id, 250);
  if (!text.includes('/')) return text;
  throw new DagError(`${where}: ${show(id)} is no id.`, 'Write the Dag and the task apart, each by its id.');
}

const everyOf = (where: string, every: Duration | undefined) => parseDuration(every ?? '60s', where, { min: 1 });

function checkedUrl(url: unknown): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : null;
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return parsed.href;
  throw new DagError(
    `until.http: ${show(url)} is no http(s) address.`,
    "Write until.http('https://partner.example/ready').",
  );
}

/** `d.wait('noon', { until: until.at('2026-07-01T12:00:00Z') })`. */
export const until = {
  /** The given time after the task starts. */
  delay(duration: Duration): Trigger<{ at: string }> {
    const seconds = parseDuration(duration, 'until.delay');
    return trigger('airlock.until', (nowMs) => ({ at: new Date(nowMs + seconds * 1000).toISOString() }));
  },
  /** An instant: a Date, or a text with its offset. */
  at(instant: Date | string): Trigger<{ at: string }> {
    const at = checkedInstant('until.at', instant);
    return trigger('airlock.until', () => ({ at }));
  },
  /** An answer of an http(s) address. Its event is the answer. */
  http(url: string, options: HttpOptions = {}): Trigger<{ status: number; body: string }> {
    const kwargs = {
      url: checkedUrl(url),
      every: everyOf('until.http: every', options.every),
      method: options.method ?? 'GET',
      headers: options.headers ?? {},
      status: options.status ?? 200,
      contains: options.contains ?? null,
    };
    return trigger('airlock.http', () => kwargs);
  },
  /** A file that tasks of this Dag can see, by its absolute path. */
  file(path: string, options: FileOptions = {}): Trigger<{ path: string; size: number; modifiedAt: string }> {
    const given = { path: checkedText('until.file', path, 4000), every: everyOf('until.file: every', options.every) };
    if (!given.path.startsWith('/'))
      throw new DagError(`until.file: ${show(path)} is no absolute path.`, "Write until.file('/data/in/ready.csv').");
    return trigger('airlock.file', () => given);
  },
  /**
   * The success of a run of a Dag; fails when that fails. The Dag is declared by this,
   * or by `reads: { dags: ['orders'] }` of the wait, where `until` is a function.
   */
  run(dagId: string, options: RunOptions): Trigger<{ state: 'success' }> {
    const given = { dag_id: checkedText('until.run', dagId, 250), ...runOf('until.run', options) };
    return trigger('airlock.run', () => given, { dags: [given.dag_id] });
  },
  /**
   * The success of a task in a run of a Dag, or of several; every instance of a mapped one. The wait fails when one of them
   * fails and is skipped when one is, unless the options say otherwise. Declared by this, or by `reads: { tasks: ['orders/load'] }`.
   */
  task(dagId: string, taskIds: string | readonly string[], options: TasksOptions): Trigger<TasksEvent> {
    const list: readonly unknown[] = Array.isArray(taskIds) ? taskIds : [taskIds];
    const task_ids = [...new Set(list.map((id) => checkedId('until.task', id)))];
    const length = new URLSearchParams(task_ids.map((id) => ['task_ids', id])).toString().length;
    if (task_ids.length === 0 || task_ids.length > MAX_TASKS || length > MAX_IDS_LENGTH)
      throw new DagError(
        `until.task: ${task_ids.length} tasks were given, whose ids make ${length} characters of a query.`,
        `Give 1 to ${MAX_TASKS} with at most ${MAX_IDS_LENGTH} characters, or wait for a task group.`,
      );
    return tasksTrigger('until.task', dagId, { task_ids }, options);
  },
  /** The same of all tasks of a task group, which is declared by its own id: `reads: { tasks: ['orders/section'] }`. */
  taskGroup(dagId: string, groupId: string, options: TasksOptions): Trigger<TasksEvent> {
    return tasksTrigger('until.taskGroup', dagId, { task_group_id: checkedId('until.taskGroup', groupId) }, options);
  },
  /** An event of an asset, by the asset's name, which is declared as the Dag of `until.run` is: `reads: { assets: ['orders'] }`. */
  asset(name: string, options: AssetOptions = {}): Trigger<AssetEvent> {
    const asset = checkedText('until.asset', name, 250);
    const every = everyOf('until.asset: every', options.every);
    const after = options.after === undefined ? null : checkedInstant('until.asset: after', options.after);
    return trigger(
      'airlock.asset',
      (nowMs) => ({ name: asset, after: after ?? new Date(nowMs).toISOString(), every }),
      {
        assets: [asset],
      },
    );
  },
};
