/** Dates and zones as authors write them. */
import { DagError, show } from './dag-error.ts';

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const HINT = "Write '2026-01-31', '2026-01-31T06:00' (both in the Dag's timezone) or '2026-01-31T06:00:00Z'.";

/** The zone's name, checked against this machine's zone data. @throws DagError */
export function parseTimezone(value: unknown): string {
  if (typeof value === 'string') {
    if (value === 'UTC') return value;
    try {
      const zone = new Intl.DateTimeFormat('en', { timeZone: value }).resolvedOptions().timeZone;
      // Names are compared as text by the server; an offset such as +01:00 has no name there.
      if (/^[A-Za-z]/.test(value) && zone) return zone.toLowerCase() === value.toLowerCase() ? zone : value;
    } catch {
      // Falls through to the one message.
    }
  }
  throw new DagError(`timezone: ${show(value)} is not a time zone.`, "Use an IANA name, such as 'Europe/Stockholm'.");
}

/**
 * Epoch seconds of a date or date-time text. Without an offset it is local time in `zone`; a time that the zone skips
 * moves forward, one that occurs twice means the earlier. @throws DagError
 */
export function parseInstant(value: unknown, option: string, zone: string): number {
  if (typeof value === 'string') {
    try {
      if (/(?:Z|[+-]\d{2}:?\d{2})$/i.test(value) && !DATE.test(value)) {
        return Temporal.Instant.from(value).epochMilliseconds / 1000;
      }
      const local = Temporal.PlainDateTime.from(value, { overflow: 'reject' });
      return local.toZonedDateTime(zone, { disambiguation: 'compatible' }).epochMilliseconds / 1000;
    } catch {
      // Falls through to the one message.
    }
  }
  throw new DagError(`${option}: ${show(value)} is not a date.`, HINT);
}
