/** What a task can wait for without holding a worker. */
import { DagError, show } from './dag-error.ts';
import { type Duration, parseDuration } from './duration.ts';

const TRIGGER = Symbol.for('airlock.trigger');
declare const event: unique symbol;

/** Something to wait for, with the type of its event. Made by `until`. */
export interface Trigger<E> {
  readonly [TRIGGER]: true;
  readonly [event]: E;
}

/** What a wait reads beyond its own run: Dags and assets, by name. Declared, so that nothing else may be read. */
export interface Reads {
  readonly dags?: readonly string[];
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
    const { runId, logicalDate } = options ?? {};
    if ((runId === undefined) === (logicalDate === undefined))
      throw new DagError('until.run: which run is not said.', 'Give runId or logicalDate, one of them.');
    const given = {
      dag_id: checkedText('until.run', dagId, 250),
      run_id: runId === undefined ? null : checkedText('until.run: runId', runId, 250),
      logical_date: logicalDate === undefined ? null : checkedInstant('until.run: logicalDate', logicalDate),
      every: everyOf('until.run: every', options.every),
    };
    return trigger('airlock.run', () => given, { dags: [given.dag_id] });
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
