/**
 * How one option is described: its type, default, unit, who may read it, and a sentence of advice. The reference page, the
 * written airlock.cfg and the check of each value all come from these rows.
 */
import type { Rule } from './rules.ts';

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
  /** A shorter variable that means the same; comes right after `AIRLOCK__SECTION__KEY`. */
  readonly variable?: string;
  /** For JSON objects: a variable that ends in this and `__NAME` sets the member `name`, as the text that it holds. */
  readonly memberVariables?: string;
};

/** Says that a value counts, but not as it was written. */
export type Warn = (message: string) => void;

export type OptionRow<T> = OptionMeta & {
  readonly kind: 'bool' | 'int' | 'number' | 'text' | 'list' | 'choice';
  /** The value when nothing is set; texts may hold `$AIRLOCK_HOME`. */
  readonly default: T;
  /** What may be written there, for people: `a whole number from 0 to 65535`. */
  readonly allowed: string;
  /** Text of the configuration → value. @throws Error whose message says what is wrong, without option and value */
  readonly parse: (text: string, warn?: Warn) => T;
  readonly choices?: readonly string[];
};

/** Longest text of one value; a certificate chain in a variable is far shorter. */
const MAX_CHARACTERS = 65_536;

/** Refuses what no option means, and what would garble a log line. Lists and JSON may stand on several lines. */
function plain(text: string, severalLines: boolean): string {
  if (text.length > MAX_CHARACTERS) throw new Error(`is longer than ${MAX_CHARACTERS} characters`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if ((severalLines ? /[\u0000-\u0008\u000b-\u001f\u007f]/ : /[\u0000-\u001f\u007f]/).test(text))
    throw new Error('holds a control character');
  return text;
}

/** `true t 1 yes on` / `false f 0 no off`, any case; text after `#` is dropped. */
export function bool(fallback: boolean, meta: OptionMeta): OptionRow<boolean> {
  return {
    ...meta,
    kind: 'bool',
    default: fallback,
    allowed: 'true or false',
    parse: (text) => {
      const word = text.split('#')[0]!.trim().toLowerCase();
      if (['true', 't', '1', 'yes', 'on'].includes(word)) return true;
      if (['false', 'f', '0', 'no', 'off'].includes(word)) return false;
      throw new Error('is neither true nor false');
    },
  };
}

/** As `bool`; unset, or an empty text, is neither. */
export function optionalBool(meta: OptionMeta): OptionRow<boolean | null> {
  const { parse, allowed, ...row } = bool(false, meta);
  return {
    ...row,
    default: null,
    allowed: `${allowed}, or nothing`,
    parse: (text) => (text.trim() === '' ? null : parse(text)),
  };
}

type Range = {
  readonly min?: number;
  readonly max?: number;
  /** What a value above `max` does: by default it is refused; `lower` takes `max` instead, with a warning. */
  readonly above?: 'refuse' | 'lower';
};

function inRange(value: number, { min, max, above }: Range, warn: Warn | undefined): number {
  if (min !== undefined && value < min) throw new Error(`is below ${min}`);
  if (max === undefined || value <= max) return value;
  if (above !== 'lower') throw new Error(`is above ${max}`);
  warn?.(`is above ${max}, and counts as ${max}`);
  return max;
}

function allowedNumber(what: string, { min, max, above }: Range): string {
  const range = min === undefined ? (max === undefined ? '' : ` up to ${max}`) : ` from ${min}`;
  const upTo = min !== undefined && max !== undefined ? ` to ${max}` : '';
  return `${what}${range}${upTo}${above === 'lower' ? ', larger ones count as that' : ''}`;
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
    allowed: allowedNumber('a whole number', meta),
    parse: (text, warn) => {
      const value = parseNumber(text);
      if (!Number.isSafeInteger(value)) throw new Error('is not a whole number');
      return inRange(value, meta, warn);
    },
  };
}

export function number(fallback: number, meta: OptionMeta & Range): OptionRow<number> {
  return {
    ...meta,
    kind: 'number',
    default: fallback,
    allowed: allowedNumber('a number', meta),
    parse: (text, warn) => inRange(parseNumber(text), meta, warn),
  };
}

type TextMeta = OptionMeta & {
  readonly rule?: Rule;
  /** The value may stand on several lines. */
  readonly severalLines?: boolean;
};

function parseText(value: string, { rule, severalLines }: TextMeta): string {
  plain(value, severalLines ?? false);
  if (rule && !rule.holds(value)) throw new Error(`is not ${rule.allowed}`);
  return value;
}

const allowedText = (meta: TextMeta): string => meta.rule?.allowed ?? 'text without control characters';

export function text(fallback: string, meta: TextMeta): OptionRow<string> {
  return {
    ...meta,
    kind: 'text',
    default: fallback,
    allowed: allowedText(meta),
    parse: (value) => parseText(value, meta),
  };
}

/** Text that may be unset; an empty text counts as unset. */
export function optionalText(meta: TextMeta): OptionRow<string | null> {
  return {
    ...meta,
    kind: 'text',
    default: null,
    allowed: `${allowedText(meta)}, or nothing`,
    parse: (value) => (value === '' ? null : parseText(value, meta)),
  };
}

/** Split on commas and trimmed; an empty text is an empty list. `rule` holds for each item. */
export function list(
  fallback: readonly string[],
  meta: OptionMeta & { readonly rule?: Rule },
): OptionRow<readonly string[]> {
  const { rule } = meta;
  return {
    ...meta,
    kind: 'list',
    default: fallback,
    allowed: `a list separated by commas${rule ? `, each ${rule.allowed}` : ''}`,
    parse: (value) => {
      const items = plain(value, true)
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
      if (rule && !items.every(rule.holds)) throw new Error(`has an item that is not ${rule.allowed}`);
      return items;
    },
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
    allowed: `one of ${choices.join(', ')}`,
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
