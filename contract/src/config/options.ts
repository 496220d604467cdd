/**
 * How one option is described: its type, default, unit, who may read it, and a sentence of advice. The reference page, the
 * written airlock.cfg and the check of each value all come from these rows.
 */

/** A kind of process; an option is handed to the kinds that its row names and to nobody else. */
export const PROCESS_KINDS = ['standalone', 'token-service', 'control', 'supervisor', 'store', 'cli'] as const;
export type ProcessKind = (typeof PROCESS_KINDS)[number];

export type OptionMeta = {
  readonly readers: readonly ProcessKind[];
  /** One or two sentences: meaning, and when to change it. */
  readonly advice: string;
  /** For people: `s`, `ms`, `bytes`, `count`, `days`, `port`, `path`, `URL`, … */
  readonly unit?: string;
  /** Masked everywhere, and may also come from `_CMD`. */
  readonly sensitive?: boolean;
  /** Names of older releases, `section.key`, tried right after the new one at each level. */
  readonly formerly?: readonly string[];
};

export type OptionRow<T> = OptionMeta & {
  readonly kind: 'bool' | 'int' | 'number' | 'text' | 'list' | 'choice';
  /** The value when nothing is set; texts may hold `$AIRLOCK_HOME`. */
  readonly default: T;
  /** Text of the configuration → value. @throws Error whose message says what is wrong, without naming the option. */
  readonly parse: (text: string) => T;
  readonly choices?: readonly string[];
};

/** `true t 1 yes on` / `false f 0 no off`, any case; text after `#` is dropped. */
export function bool(fallback: boolean, meta: OptionMeta): OptionRow<boolean> {
  return {
    ...meta,
    kind: 'bool',
    default: fallback,
    parse: (text) => {
      const word = text.split('#')[0]!.trim().toLowerCase();
      if (['true', 't', '1', 'yes', 'on'].includes(word)) return true;
      if (['false', 'f', '0', 'no', 'off'].includes(word)) return false;
      throw new Error('is neither true nor false');
    },
  };
}

type Range = { readonly min?: number; readonly max?: number };

function inRange(value: number, { min, max }: Range): number {
  if (min !== undefined && value < min) throw new Error(`is below ${min}`);
  if (max !== undefined && value > max) throw new Error(`is above ${max}`);
  return value;
}

function parseNumber(text: string): number {
  const value = Number(text.trim());
  if (text.trim() === '' || !Number.isFinite(value)) throw new Error('is not a number');
  return value;
}

/** A whole number; `10.0` is accepted as 10. */
export function int(fallback: number, meta: OptionMeta & Range): OptionRow<number> {
  return {
    ...meta,
    kind: 'int',
    default: fallback,
    parse: (text) => {
      const value = parseNumber(text);
      if (!Number.isInteger(value)) throw new Error('is not a whole number');
      return inRange(value, meta);
    },
  };
}

export function number(fallback: number, meta: OptionMeta & Range): OptionRow<number> {
  return { ...meta, kind: 'number', default: fallback, parse: (text) => inRange(parseNumber(text), meta) };
}

export function text(fallback: string, meta: OptionMeta & { readonly pattern?: RegExp }): OptionRow<string> {
  return {
    ...meta,
    kind: 'text',
    default: fallback,
    parse: (value) => {
      if (meta.pattern && !meta.pattern.test(value)) throw new Error(`does not match ${meta.pattern.source}`);
      return value;
    },
  };
}

/** Text that may be unset; an empty text counts as unset. */
export function optionalText(meta: OptionMeta): OptionRow<string | null> {
  return { ...meta, kind: 'text', default: null, parse: (value) => (value === '' ? null : value) };
}

/** A whole number that may be unset; an empty text counts as unset. */
export function optionalInt(meta: OptionMeta & Range): OptionRow<number | null> {
  const row = int(0, meta);
  return { ...meta, kind: 'int', default: null, parse: (value) => (value.trim() === '' ? null : row.parse(value)) };
}

/** Split on commas and trimmed; an empty text is an empty list. */
export function list(fallback: readonly string[], meta: OptionMeta): OptionRow<readonly string[]> {
  return {
    ...meta,
    kind: 'list',
    default: fallback,
    parse: (value) =>
      value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
  };
}

export function choice<const C extends readonly string[]>(
  choices: C,
  fallback: C[number],
  meta: OptionMeta,
): OptionRow<C[number]> {
  return {
    ...meta,
    kind: 'choice',
    default: fallback,
    choices,
    parse: (value) => {
      const hit = choices.find((each) => each.toLowerCase() === value.trim().toLowerCase());
      if (hit === undefined) throw new Error(`is none of ${choices.join(', ')}`);
      return hit;
    },
  };
}

/** The options of one section. */
export type OptionTable = Readonly<Record<string, OptionRow<never> | OptionRow<unknown>>>;
export type ValueOf<R> = R extends OptionRow<infer T> ? T : never;
