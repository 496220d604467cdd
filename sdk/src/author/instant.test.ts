import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DagError } from './dag-error.ts';
import { parseInstant, parseTimezone } from './instant.ts';

const at = (text: unknown, zone = 'Europe/Stockholm') => parseInstant(text, 'startDate', zone);

test('a date is midnight in the zone of its Dag; a text with an offset is its own instant', () => {
  assert.equal(at('2026-01-01'), Date.parse('2025-12-31T23:00:00Z') / 1000);
  assert.equal(at('2026-07-01'), Date.parse('2026-06-30T22:00:00Z') / 1000);
  assert.equal(at('2026-01-01', 'UTC'), Date.parse('2026-01-01T00:00:00Z') / 1000);
  assert.equal(at('2026-01-01T06:30'), Date.parse('2026-01-01T05:30:00Z') / 1000);
  assert.equal(at('2026-01-01T06:30:15.5Z'), Date.parse('2026-01-01T06:30:15.500Z') / 1000);
  assert.equal(at('2026-01-01T06:30:00+05:30'), Date.parse('2026-01-01T01:00:00Z') / 1000);
});

test('a time that the zone skips moves forward; one that comes twice means the first', () => {
  assert.equal(at('2026-03-29T02:30'), Date.parse('2026-03-29T01:30:00Z') / 1000);
  assert.equal(at('2026-10-25T02:30'), Date.parse('2026-10-25T00:30:00Z') / 1000);
});

test('what is no date is refused with examples', () => {
  for (const bad of [
    '2026-02-30',
    '2026-13-01',
    'yesterday',
    '',
    '01.02.2026',
    0,
    null,
    new Date(0),
    '2026-01-01T25:00',
  ]) {
    assert.throws(
      () => at(bad),
      (error) => error instanceof DagError && /2026-01-31/.test(error.hint),
      String(bad),
    );
  }
});

test('zones are IANA names', () => {
  for (const zone of ['UTC', 'Europe/Zurich', 'America/Argentina/Buenos_Aires'])
    assert.equal(parseTimezone(zone), zone);
  assert.equal(parseTimezone('europe/zurich'), 'Europe/Zurich');
  for (const bad of ['Mars/Olympus', '', '+01:00', 1, null])
    assert.throws(() => parseTimezone(bad), DagError, String(bad));
});
