/** What is found of a Python, and shown to a child, without running it. */
import { deepEqual, equal, throws } from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { findInterpreter, interpreterStamp } from '../src/python/interpreter.ts';

const base = realpathSync(mkdtempSync(join(tmpdir(), 'airlock-python-')));
after(() => rmSync(base, { recursive: true, force: true }));

function file(path: string, text = '\x7fELF…'): string {
  const full = join(base, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text, 'latin1');
  chmodSync(full, 0o755);
  return full;
}
function link(path: string, target: string): string {
  const full = join(base, path);
  mkdirSync(dirname(full), { recursive: true });
  symlinkSync(target, full);
  return full;
}

const real = file('opt/python/bin/python3.11');
mkdirSync(join(base, 'opt/python/lib/python3.11'), { recursive: true });
link('opt/python/bin/python3', 'python3.11');
const venv = join(base, 'venv');
file('venv/pyvenv.cfg', `home = ${base}/opt/python/bin\nversion = 3.11.7\n`);
link('venv/bin/python3', `${base}/opt/python/bin/python3`);

test('of a virtual environment its folder, its Python and the links between them are shown', () => {
  const found = findInterpreter(venv, '');
  equal(found.program, join(venv, 'bin/python3'));
  deepEqual([...found.shown].sort(), [join(base, 'opt/python'), real, venv]);
  deepEqual(found.links, [
    { path: join(venv, 'bin/python3'), target: `${base}/opt/python/bin/python3` },
    { path: join(base, 'opt/python/bin/python3'), target: 'python3.11' },
  ]);
  deepEqual(findInterpreter(join(venv, 'bin/python3'), ''), found, 'the program itself names the same');
});

test('a folder that only happens to lie above a binary is never shown', () => {
  const lone = file('home/somebody/bin/python3');
  deepEqual(findInterpreter(lone, '').shown, [lone]);
});

test('PATH gives the first program and passes over scripts, which want more than we would show', () => {
  file('shims/python3', '#!/bin/sh\nexec pyenv exec python3\n');
  const path = `relative:${base}/shims:${base}/nowhere:${base}/opt/python/bin`;
  equal(findInterpreter(null, path).program, join(base, 'opt/python/bin/python3'));
});

for (const [name, option, message] of [
  ['no absolute path', './python3', /no absolute path/],
  ['a path without a file', `${base}/none`, /there is no Python/],
  ['a folder without a Python', `${base}/opt`, /there is no Python/],
  ['a script', `${base}/shims/python3`, /is a script/],
  ['a name that is not on PATH', 'python9', /no program python9 on PATH/],
  ['nothing, with an empty PATH', null, /no program python3 on PATH/],
] as const) {
  test(`${name} is refused with a reason`, () => {
    throws(() => findInterpreter(option, ''), { code: 'PYTHON_UNAVAILABLE', message });
  });
}

test('links that never end are refused', () => {
  link('loop/a', 'b');
  link('loop/b', 'a');
  throws(() => findInterpreter(join(base, 'loop/a'), ''), { code: 'PYTHON_UNAVAILABLE' });
});

test('the state of an interpreter has another name when a package comes or the program changes, and the same otherwise', () => {
  const environment = join(base, 'stamped');
  file('stamped/pyvenv.cfg', `home = ${base}/opt/python/bin\n`);
  link('stamped/bin/python3', real);
  const packages = join(environment, 'lib/python3.11/site-packages');
  mkdirSync(packages, { recursive: true });
  const further = join(base, 'further');
  mkdirSync(further);
  const stamp = () => interpreterStamp(findInterpreter(environment, ''), [further]);
  const names = [stamp()];
  equal(stamp(), names[0], 'control');
  const changes = [
    () => writeFileSync(join(packages, 'six.py'), ''),
    () => writeFileSync(join(further, 'seven.py'), ''),
    () => file('stamped/pyvenv.cfg', 'home = /usr/bin\nversion = 3.12\n'),
    () => file('opt/python/bin/python3.11', '\x7fELF, a newer one'),
  ];
  for (const change of changes) {
    change();
    names.push(stamp());
  }
  equal(new Set(names).size, 1 + changes.length);
});
