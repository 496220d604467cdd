import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { configFileText } from './config-file.ts';
import { createLog, levelOf, textOf } from './log.ts';
import { generatePassword } from './secrets.ts';

function folder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'airlock-log-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}
const log = (path: string, json: boolean, shown: string[], maxBytes = 1e6) =>
  createLog({ path, maxBytes, json, nowMs: () => 0, write: (text) => shown.push(text) });

test('Everything goes to the file, and only what needs somebody to the terminal', () => {
  using place = folder();
  const shown: string[] = [];
  const path = join(place.path, 'log');
  const out = log(path, false, shown);
  out.line('control', '{"level":30,"msg":"fine"}');
  out.line('control', '{"level":50,"err":{"message":"no space"},"msg":"could not write"}');
  out.line('postgres', 'LOG:  started');
  out.line('postgres', 'FATAL:  sorry');
  out.say('info', 'quiet');
  out.say('error', 'loud');
  assert.deepEqual(shown, ['control: could not write: no space\n', 'postgres: FATAL:  sorry\n', 'standalone: loud\n']);
  assert.equal(readFileSync(path, 'utf8').trim().split('\n').length, 6);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('With json_logs each line is an object, and none is left out', () => {
  using place = folder();
  const shown: string[] = [];
  log(join(place.path, 'log'), true, shown).line('x', 'a "quoted" line');
  assert.deepEqual(JSON.parse(shown[0]!), {
    time: '1970-01-01T00:00:00.000Z',
    process: 'x',
    level: 'warning',
    line: 'a "quoted" line',
  });
});

test('The file never outgrows its bound by more than a line, and one predecessor is kept', () => {
  using place = folder();
  const path = join(place.path, 'log');
  const out = log(path, false, [], 2000);
  for (let i = 0; i < 200; i++) out.say('info', `line ${i}`);
  for (const each of [path, `${path}.1`]) assert.ok(statSync(each).size < 2200);
  assert.match(readFileSync(path, 'utf8'), /line 199/);
});

test('A disk that takes nothing more loses lines and ends nothing', () => {
  const shown: string[] = [];
  log('/nonexistent/log', false, shown).say('error', 'still shown');
  assert.deepEqual(shown, ['standalone: still shown\n']);
});

test('Levels are read from every form that our processes write', () => {
  assert.equal(levelOf('{"level":40,"msg":"x"}'), 'warning');
  assert.equal(levelOf('{"level":"error","msg":"x"}'), 'error');
  assert.equal(levelOf('PANIC:  x'), 'error');
  assert.equal(levelOf('Error: x\n    at y'), 'warning');
  assert.equal(textOf('{broken'), '{broken');
});

test('A generated password has no look-alikes and never comes twice', () => {
  const all = new Set(Array.from({ length: 500 }, generatePassword));
  assert.equal(all.size, 500);
  for (const one of all) assert.match(one, /^[a-km-zA-HJ-NP-Z2-9]{20}$/);
});

test('The written configuration explains each option and sets none', () => {
  const text = configFileText();
  assert.ok(text.includes('[retention]'));
  assert.ok(text.split('\n').every((line) => line === '' || line.startsWith('#') || /^\[[a-z_]+\]$/.test(line)));
  assert.ok(
    text.split('\n').every((line) => line.length <= 120),
    'lines fit',
  );
});
