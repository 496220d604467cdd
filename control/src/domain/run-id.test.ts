import { doesNotThrow, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { checkRunId, generateRunId, laterByMicros, RUN_ID_PATTERN } from './run-id.ts';

const rules = { pattern: RUN_ID_PATTERN, allowDoubleDots: false };
const refused = (id: string, message: string | RegExp) =>
  throws(() => checkRunId(id, 'manual', rules), { code: 'BAD_REQUEST', message });

test('a run without a name is called by its type and run-after, with microseconds only when there are any', () => {
  equal(generateRunId('manual', '2026-11-23T21:22:03.759727Z'), 'manual__2026-11-23T21:22:03.759727+00:00');
  equal(generateRunId('scheduled', '2026-06-10 00:00:00+00'), 'scheduled__2026-06-10T00:00:00+00:00');
  equal(generateRunId('manual', '2026-11-23T22:22:03.5+01:00'), 'manual__2026-11-23T21:22:03.500000+00:00');
});

test('names that could leave a folder, or belong to another type, are refused with Airflow’s texts', () => {
  refused('a..b', "The run_id 'a..b' must not contain '..' to prevent path traversal");
  refused('a/b', /^The run_id provided 'a\/b' does not match regex pattern '\^\[A-Za-z0-9_\.~:\+-\]\+\$' or '/);
  refused('bad id!', /does not match regex pattern/);
  refused('scheduled__x', "A manual DAG run cannot use ID 'scheduled__x' since it is reserved for scheduled runs");
  refused('x'.repeat(251), /longer than 250/);
  doesNotThrow(() => checkRunId('manual__x', 'manual', rules));
  doesNotThrow(() => checkRunId('a..b', 'manual', { ...rules, allowDoubleDots: true }));
});

test('a later instant differs in its microseconds, and carries into the second', () => {
  equal(laterByMicros('2026-11-23T21:22:03.759Z', 0), '2026-11-23T21:22:03.759Z');
  equal(laterByMicros('2026-11-23T21:22:03.759Z', 1), '2026-11-23T21:22:03.759001Z');
  equal(laterByMicros('2026-11-23T21:22:03Z', 7), '2026-11-23T21:22:03.000007Z');
  equal(laterByMicros('2026-11-23T23:59:59.999999Z', 1), '2026-11-24T00:00:00.000000Z');
});
