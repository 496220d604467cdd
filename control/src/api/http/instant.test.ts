import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nowIso, offsetInstant, parseInstant, wireInstant } from './instant.ts';

const iso = (input: unknown) => {
  const parsed = parseInstant(input);
  return parsed.ok ? parsed.iso : parsed.issue.type;
};

test('instants with an offset are read in UTC, with their microseconds', () => {
  assert.equal(iso('2024-03-01T00:00:00Z'), '2024-03-01T00:00:00Z');
  assert.equal(iso('2024-03-02T00:00:00+02:00'), '2024-03-01T22:00:00Z');
  assert.equal(iso('2024-01-01T00:00:00.000000+0000'), '2024-01-01T00:00:00Z');
  assert.equal(iso('2024-01-01T00:00:00.123456789-05:30'), '2024-01-01T05:30:00.123456Z');
  assert.equal(iso('2024-01-01 10:11Z'), '2024-01-01T10:11:00Z');
  assert.equal(iso('1704067200'), '2024-01-01T00:00:00Z');
  assert.equal(iso(1704067200.25), '2024-01-01T00:00:00.250000Z');
});

test('instants without an offset, and what is no instant, are refused with the kind of the problem', () => {
  assert.equal(iso('2024-02-03T00:00:00'), 'timezone_aware');
  assert.equal(iso('2024-02-03'), 'timezone_aware');
  const bad = [
    'yesterday',
    '2024-02-30T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-01-01T25:00:00Z',
    '2024-01-01T00:00:00+99:00',
    '',
  ];
  for (const text of bad) assert.equal(iso(text), 'datetime_from_date_parsing', text);
  for (const value of ['9999-12-31T23:59:59-10:00', '0001-01-01T00:00:00+10:00', 1e18, '1e400']) {
    assert.equal(iso(value), 'datetime_from_date_parsing', String(value));
  }
  for (const value of [true, [], {}, null]) assert.equal(iso(value), 'datetime_type');
});

test('what the database gives is written with Z and six digits, or none', () => {
  assert.equal(wireInstant('2026-11-23 21:22:03.759727+00'), '2026-11-23T21:22:03.759727Z');
  assert.equal(wireInstant('2026-11-23 21:22:03.75+00'), '2026-11-23T21:22:03.750000Z');
  assert.equal(wireInstant('2024-03-01 00:00:00+00'), '2024-03-01T00:00:00Z');
  assert.equal(wireInstant('2024-03-01 02:00:00.5+02'), '2024-03-01T00:00:00.500000Z');
  assert.equal(wireInstant('2024-03-01 05:30:00-05:30'), '2024-03-01T11:00:00Z');
  assert.equal(wireInstant(null), null);
  assert.equal(offsetInstant('2024-03-01 00:00:00.1+00'), '2024-03-01T00:00:00.100000+00:00');
  assert.equal(nowIso(1704067200123), '2024-01-01T00:00:00.123000Z');
});
