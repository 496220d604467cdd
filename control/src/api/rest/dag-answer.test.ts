import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileToken, isoDuration, zoneName } from './dag-answer.ts';

test('durations are written as the reference writes them', () => {
  const cases: Array<[number | null, string | null]> = [
    [null, null],
    [0, 'PT0S'],
    [90_000, 'P1DT1H'],
    [86_400, 'P1D'],
    [61.5, 'PT1M1.5S'],
    [3600, 'PT1H'],
  ];
  for (const [seconds, text] of cases) assert.equal(isoDuration(seconds), text);
});

test('zones are names or offsets', () => {
  assert.deepEqual(
    [zoneName('Europe/Stockholm'), zoneName(3600), zoneName(-19_800), zoneName(0)],
    ['Europe/Stockholm', '+01:00', '-05:30', '+00:00'],
  );
});

test('the token of a file is the same for all its Dags and for no other file', () => {
  const token = (bundle_name: string, relative_fileloc: string) => fileToken({ bundle_name, relative_fileloc });
  assert.equal(token('b', 'a.ts'), token('b', 'a.ts'));
  assert.notEqual(token('b', 'a.ts'), token('b', 'b.ts'));
  assert.notEqual(token('ba', '.ts'), token('b', 'a.ts'));
});
