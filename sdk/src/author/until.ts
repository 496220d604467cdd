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

type MadeTrigger = {
  readonly name: string;
  /** JSON for whoever runs it. @param nowMs when the wait begins */
  arguments(nowMs: number): Readonly<Record<string, unknown>>;
};

function trigger<E>(name: string, args: MadeTrigger['arguments']): Trigger<E> {
  return { [TRIGGER]: true, name, arguments: args } as MadeTrigger & { [TRIGGER]: true } as unknown as Trigger<E>;
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
    const hasOffset = instant instanceof Date || /(?:Z|[+-]\d\d:?\d\d)$/i.test(instant);
    const at = new Date(instant);
    if (!hasOffset || Number.isNaN(at.getTime()))
      throw new DagError(`until.at: ${show(instant)} is no instant.`, "Write until.at('2026-07-01T12:00:00Z').");
    return trigger('airlock.until', () => ({ at: at.toISOString() }));
  },
  /** An answer of an http(s) address. Its event is the answer. */
  http(url: string, options: HttpOptions = {}): Trigger<{ status: number; body: string }> {
    const kwargs = {
      url: checkedUrl(url),
      every: parseDuration(options.every ?? '60s', 'until.http: every', { min: 1 }),
      method: options.method ?? 'GET',
      headers: options.headers ?? {},
      status: options.status ?? 200,
      contains: options.contains ?? null,
    };
    return trigger('airlock.http', () => kwargs);
  },
};
