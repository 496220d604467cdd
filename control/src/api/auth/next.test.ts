import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSafeNext } from './next.ts';

const own = 'http://airlock.example:8080';

test('paths of this host are safe to go to after a log-in', () => {
  for (const next of ['/', '/dags?a=1', 'http://airlock.example:8080/x', 'dags'])
    assert.ok(isSafeNext(next, own), next);
});

test('everything that leads elsewhere is not', () => {
  const bad = [
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '%2F%2Fevil.example',
    'http://evil.example/',
    'javascript:alert(1)',
    'https://airlock.example:8080@evil.example/',
    'data:text/html,x',
    '%E0%A4%A',
    'http://airlock.example/',
  ];
  for (const next of bad) assert.ok(!isSafeNext(next, own), next);
});
