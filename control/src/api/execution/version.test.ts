import assert from 'node:assert/strict';
import test from 'node:test';
import { API_VERSIONS, negotiateVersion } from './version.ts';

test('each served version is served, and dates between and after get the newest that is not later', () => {
  for (const version of API_VERSIONS) assert.equal(negotiateVersion(version), version);
  assert.equal(negotiateVersion(undefined), '2026-06-30');
  assert.equal(negotiateVersion('2026-05-01'), '2026-04-06');
  assert.equal(negotiateVersion('2099-01-01'), '2026-06-30');
});

test('a date before the oldest and an empty one are 404, what is no date is 422', () => {
  for (const asked of ['2025-04-10', '1999-01-01', ''])
    assert.throws(() => negotiateVersion(asked), { code: 'NOT_FOUND' });
  for (const asked of ['abc', '2026-13-01', '2026-06-30x', 'nonsense', '26-06-30', '2026/06/30']) {
    assert.throws(() => negotiateVersion(asked), { code: 'VALIDATION' });
  }
  assert.throws(
    () => negotiateVersion('abc'),
    (error: { detail?: unknown }) => {
      assert.deepEqual(error.detail, [
        {
          type: 'date_from_datetime_parsing',
          loc: ['header', 'Airflow-API-Version'],
          msg: 'Input should be a valid date or datetime, input is too short',
          input: 'abc',
          ctx: { error: 'input is too short' },
        },
      ]);
      return true;
    },
  );
});
