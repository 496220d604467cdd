/**
 * Dates as Python prints and reads them, on a wall clock: "epoch ms as if UTC". The directives that keys of partitions are
 * made of; English names. @see serialized Dag 4.4; Python's `datetime.strftime` and `strptime`
 */

const DAY_MS = 86_400_000;
const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const pad = (n: number, width: number) => String(n).padStart(width, '0');
const dayOfYear = (date: Date): number =>
  Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS) + 1;

/** ISO 8601 week: the week belongs to the year of its Thursday. */
function isoWeek(date: Date): { readonly year: number; readonly week: number } {
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY_MS);
  return { year: thursday.getUTCFullYear(), week: Math.ceil(dayOfYear(thursday) / 7) };
}

const WRITERS: Readonly<Record<string, (date: Date) => string>> = {
  Y: (d) => pad(d.getUTCFullYear(), 4),
  y: (d) => pad(d.getUTCFullYear() % 100, 2),
  m: (d) => pad(d.getUTCMonth() + 1, 2),
  d: (d) => pad(d.getUTCDate(), 2),
  H: (d) => pad(d.getUTCHours(), 2),
  I: (d) => pad(d.getUTCHours() % 12 || 12, 2),
  M: (d) => pad(d.getUTCMinutes(), 2),
  S: (d) => pad(d.getUTCSeconds(), 2),
  f: (d) => pad(d.getUTCMilliseconds() * 1000, 6),
  p: (d) => (d.getUTCHours() < 12 ? 'AM' : 'PM'),
  j: (d) => pad(dayOfYear(d), 3),
  F: (d) => d.toISOString().slice(0, 10),
  T: (d) => d.toISOString().slice(11, 19),
  B: (d) => MONTHS[d.getUTCMonth()]!,
  b: (d) => MONTHS[d.getUTCMonth()]!.slice(0, 3),
  A: (d) => DAYS[d.getUTCDay()]!,
  a: (d) => DAYS[d.getUTCDay()]!.slice(0, 3),
  u: (d) => String(d.getUTCDay() || 7),
  w: (d) => String(d.getUTCDay()),
  G: (d) => pad(isoWeek(d).year, 4),
  V: (d) => pad(isoWeek(d).week, 2),
  U: (d) => pad(Math.floor((dayOfYear(d) + 6 - d.getUTCDay()) / 7), 2),
  W: (d) => pad(Math.floor((dayOfYear(d) + 6 - ((d.getUTCDay() + 6) % 7)) / 7), 2),
  '%': () => '%',
};

/**
 * Unknown directives stay as they are.
 * @param offsetMs of the wall clock from UTC, for `%z`; null = it is not known, and nothing is written
 */
export function strftime(format: string, wallMs: number, offsetMs: number | null = null): string {
  const date = new Date(wallMs);
  return format.replace(/%([a-zA-Z%])/g, (all, letter: string) =>
    letter === 'z' ? offsetText(offsetMs) : (WRITERS[letter]?.(date) ?? all),
  );
}

function offsetText(offsetMs: number | null): string {
  if (offsetMs === null) return '';
  const minutes = Math.round(Math.abs(offsetMs) / 60_000);
  return `${offsetMs < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60), 2)}${pad(minutes % 60, 2)}`;
}

const READERS: Readonly<Record<string, string>> = {
  Y: String.raw`\d{4}`,
  y: String.raw`\d{2}`,
  m: '1[0-2]|0?[1-9]',
  d: String.raw`3[01]|[12]\d|0?[1-9]`,
  H: String.raw`2[0-3]|[01]?\d`,
  I: '1[0-2]|0?[1-9]',
  M: String.raw`[0-5]?\d`,
  S: String.raw`[0-5]?\d`,
  f: String.raw`\d{1,6}`,
  p: '[AaPp][Mm]',
  j: String.raw`36[0-6]|3[0-5]\d|[12]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0?[1-9]`,
  B: MONTHS.join('|'),
  b: MONTHS.map((name) => name.slice(0, 3)).join('|'),
  A: DAYS.join('|'),
  a: DAYS.map((name) => name.slice(0, 3)).join('|'),
  V: String.raw`\d{1,2}`,
  U: String.raw`\d{1,2}`,
  W: String.raw`\d{1,2}`,
  z: String.raw`[+-]\d{2}:?\d{2}|Z`,
  // Not of Python: what partitions of quarters add.
  quarter: '[1-4]',
};

/** The parts of a text in a format, by directive; null = it is not in that format. @throws RangeError for an unknown directive */
function parts(format: string, text: string): Record<string, string> | null {
  const seen = new Set<string>();
  const source = format.replace(
    /%([a-zA-Z%])|\{(quarter)\}|[.*+?^${}()|[\]\\]|\s+/g,
    (all, letter?: string, word?: string) => {
      if (letter === '%') return '%';
      const name = letter ?? word;
      if (name === undefined) return /\s/.test(all) ? String.raw`\s+` : `\\${all}`;
      if (!Object.hasOwn(READERS, name))
        throw new RangeError(`the format ${format} has a directive that can't be read: ${all}`);
      if (seen.has(name)) throw new RangeError(`the format ${format} has ${all} twice`);
      seen.add(name);
      return `(?<${name}>${READERS[name]})`;
    },
  );
  return { ...(new RegExp(`^${source}$`, 'i').exec(text)?.groups ?? null) } as Record<string, string> | null;
}

export type ReadDate = {
  readonly wallMs: number;
  /** What the text says of its offset from UTC; null = nothing. */
  readonly offsetMs: number | null;
};

/** @throws RangeError for a text that is not in the format, or no date */
export function strptime(format: string, text: string): ReadDate {
  const found = parts(format, text);
  if (!found || Object.keys(found).length === 0) throw new RangeError(`${text} is not in the format ${format}`);
  const number = (name: string, otherwise: number) => (found[name] === undefined ? otherwise : Number(found[name]));
  const monthOf = (name: string | undefined) =>
    name === undefined
      ? 1
      : 1 + MONTHS.findIndex((month) => month.slice(0, 3).toLowerCase() === name.slice(0, 3).toLowerCase());
  const short = number('y', 0);
  const year = number('Y', found.y === undefined ? 1900 : short < 69 ? 2000 + short : 1900 + short);
  const quarterMonth = found.quarter === undefined ? null : (Number(found.quarter) - 1) * 3 + 1;
  const month = quarterMonth ?? number('m', monthOf(found.B ?? found.b));
  const day = number('d', 1);
  const half = found.p?.toLowerCase();
  const hour = found.I === undefined ? number('H', 0) : (number('I', 0) % 12) + (half === 'pm' ? 12 : 0);
  const ms = found.f === undefined ? 0 : Math.floor(Number(found.f.padEnd(6, '0')) / 1000);
  const date = new Date(Date.UTC(2000, month - 1, day, hour, number('M', 0), number('S', 0), ms));
  date.setUTCFullYear(year, month - 1, day);
  if (found.j !== undefined && found.m === undefined && found.d === undefined)
    date.setUTCFullYear(year, 0, Number(found.j));
  else if (date.getUTCDate() !== day) throw new RangeError(`${text} is no date`);
  return { wallMs: date.getTime(), offsetMs: found.z === undefined ? null : offsetOf(found.z) };
}

function offsetOf(text: string): number {
  if (/^z$/i.test(text)) return 0;
  const minutes = Number(text.slice(1, 3)) * 60 + Number(text.slice(-2));
  return (text.startsWith('-') ? -minutes : minutes) * 60_000;
}
