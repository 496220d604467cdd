/**
 * Instants on the wire: RFC 3339 in, `Z` with six fraction digits or none out. Texts all the way, because the database keeps
 * microseconds and a JavaScript date does not.
 */
import type { WireIssue } from './validation.ts';

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt _](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?$/;
const POSTGRES =
  /^(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?([+-])(\d{2})(?::?(\d{2}))?(?::?\d{2})?$/;
const MIN_MS = Date.parse('0001-01-01T00:00:00Z');
const MAX_MS = Date.parse('9999-12-31T23:59:59.999Z');

function format(ms: number, micros: string): string {
  const iso = new Date(ms).toISOString();
  // The date holds whole seconds; what is below a second is in `micros`.
  const seconds = iso.slice(0, 19);
  return /^0*$/.test(micros) ? `${seconds}Z` : `${seconds}.${micros}Z`;
}

function offsetMinutes(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0;
  const sign = zone[0] === '-' ? -1 : 1;
  const digits = zone.slice(1).replace(':', '');
  return sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2, 4) || 0));
}

const bad = (error: string): WireIssue => ({
  type: 'datetime_from_date_parsing',
  msg: `Input should be a valid datetime or date, ${error}`,
  ctx: { error },
});
const NAIVE: WireIssue = { type: 'timezone_aware', msg: 'Input should have timezone info' };

/** Why a text is no date, as the reference words it. */
function explain(text: string): WireIssue {
  if (text.length < 10) return bad('input is too short');
  if (!/^\d{4}/.test(text)) return bad('invalid character in year');
  if (!/^\d{4}-\d{2}/.test(text)) return bad('invalid character in month');
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return bad('invalid character in day');
  if (!/^\d{4}-\d{2}-\d{2}[Tt _]/.test(text)) return bad('invalid datetime separator');
  return bad('unexpected extra characters at the end of the input');
}

export type ParsedInstant =
  | { readonly ok: true; readonly iso: string }
  | { readonly ok: false; readonly issue: WireIssue };

function fromUnix(value: number): ParsedInstant {
  // Seconds, or milliseconds when the number is too large to be seconds: the reference's rule.
  const ms = Math.abs(value) > 2e10 ? value : value * 1000;
  if (!(ms >= MIN_MS && ms <= MAX_MS)) return { ok: false, issue: bad('unix timestamp out of range') };
  const whole = Math.floor(ms / 1000) * 1000;
  const micros = Math.min(999_999, Math.round((ms - whole) * 1000));
  return { ok: true, iso: format(whole, String(micros).padStart(6, '0')) };
}

/** RFC 3339 with an offset, or Unix seconds. More than six fraction digits are cut. */
export function parseInstant(input: unknown): ParsedInstant {
  if (typeof input === 'number') return fromUnix(input);
  if (typeof input !== 'string')
    return { ok: false, issue: { type: 'datetime_type', msg: 'Input should be a valid datetime' } };
  const text = input.trim();
  if (/^-?\d+(?:\.\d+)?$/.test(text)) return fromUnix(Number(text));
  const parts = RFC3339.exec(text);
  if (!parts) return { ok: false, issue: explain(text) };
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone] = parts;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number(month) < 1 || Number(month) > 12)
    return { ok: false, issue: bad('month value is outside expected range of 1-12') };
  // The date object rolls 31 February over; the reference refuses it.
  if (Number.isNaN(ms) || new Date(ms).getUTCDate() !== Number(day)) {
    return { ok: false, issue: bad('day value is outside expected range') };
  }
  if (zone === undefined) return { ok: false, issue: NAIVE };
  const minutes = offsetMinutes(zone);
  if (Math.abs(minutes) >= 24 * 60) return { ok: false, issue: bad('timezone offset must be less than 24 hours') };
  const utc = ms - minutes * 60_000;
  if (!(utc >= MIN_MS && utc <= MAX_MS)) return { ok: false, issue: bad('year is out of range') };
  return { ok: true, iso: format(utc, fraction.slice(0, 6).padEnd(6, '0')) };
}

/** The database's text of a timestamptz, or an ISO text of ours, as the wire writes it. */
export function wireInstant(text: string): string;
export function wireInstant(text: string | null): string | null;
export function wireInstant(text: string | null): string | null {
  if (text === null) return null;
  const parts = POSTGRES.exec(text);
  if (!parts) {
    const parsed = parseInstant(text);
    if (parsed.ok) return parsed.iso;
    throw new TypeError(`not an instant: ${text}`);
  }
  const [, year, month, day, hour, minute, second, fraction = '', sign, zoneHour, zoneMinute = '00'] = parts;
  if (zoneHour === '00' && zoneMinute === '00') {
    const base = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
    return fraction === '' ? `${base}Z` : `${base}.${fraction.padEnd(6, '0')}Z`;
  }
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  const minutes = (sign === '-' ? -1 : 1) * (Number(zoneHour) * 60 + Number(zoneMinute));
  return format(ms - minutes * 60_000, fraction.padEnd(6, '0'));
}

/** The same with `+00:00`, as run ids and the health answer write it. */
export function offsetInstant(text: string): string {
  return wireInstant(text).replace(/Z$/, '+00:00');
}

/** Now, with microseconds as far as the clock has them. */
export function nowIso(nowMs: number): string {
  return fromUnixMs(nowMs);
}

function fromUnixMs(ms: number): string {
  const whole = Math.floor(ms / 1000) * 1000;
  return format(whole, String(Math.min(999_999, Math.round((ms - whole) * 1000))).padStart(6, '0'));
}
