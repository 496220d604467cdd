import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

const here = import.meta.dirname;
const check = join(here, '../../tools/zones/check.ts');
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** The tiny workspace of `cases/_base` with the files of one case laid over it, installed as npm installs under `linked`. */
function workspaceOf(overlay: string | null): string {
  const root = mkdtempSync(join(tmpdir(), 'airlock-zones-'));
  folders.push(root);
  cpSync(join(here, 'cases/_base'), root, { recursive: true });
  if (overlay !== null) cpSync(overlay, root, { recursive: true });
  const store = join(root, 'node_modules/.store');
  for (const name of readdirSync(join(root, 'npm'))) {
    mkdirSync(join(store, name, 'node_modules'), { recursive: true });
    renameSync(join(root, 'npm', name), join(store, name, 'node_modules', name));
  }
  // A third-party package sees its siblings, as it would if it declared them; ours see only what they declare.
  for (const name of readdirSync(store)) {
    for (const sibling of readdirSync(store)) {
      if (sibling !== name)
        symlinkSync(join(store, sibling, 'node_modules', sibling), join(store, name, 'node_modules', sibling));
    }
  }
  for (const name of ['core', 'hands', 'app']) {
    const manifest = JSON.parse(readFileSync(join(root, name, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    mkdirSync(join(root, name, 'node_modules/@airlock'), { recursive: true });
    for (const dependency of Object.keys(manifest.dependencies)) {
      const ours = dependency.replace('@airlock/', '');
      const target = ours === dependency ? join(store, dependency, 'node_modules', dependency) : join(root, ours);
      symlinkSync(target, join(root, name, 'node_modules', dependency));
    }
  }
  return root;
}

function runCheck(root: string, ...options: string[]): { status: number | null; text: string } {
  const result = spawnSync(process.execPath, [check, '--root', root, ...options], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status: result.status, text: result.stdout + result.stderr };
}

describe('the zone check', { concurrency: 2 }, () => {
  test('passes the tiny workspace that keeps every rule', () => {
    // The control of all cases below: each differs from this one in a single thing.
    const root = workspaceOf(null);
    assert.equal(runCheck(root, '--write').status, 0);
    const again = runCheck(root);
    assert.deepEqual([again.status, again.text], [0, 'zones: 3 packages, 2 processes: every rule holds\n']);
  });

  const cases = readdirSync(join(here, 'cases'))
    .filter((name) => name !== '_base')
    .sort();
  test('has cases to refuse', () => assert.ok(cases.length >= 45));

  for (const name of cases) {
    test(`refuses the case ${name}`, () => {
      const overlay = join(here, 'cases', name);
      const expected = readFileSync(join(overlay, 'expected.txt'), 'utf8').trim();
      const root = workspaceOf(overlay);
      // A case about the committed result brings one; for the others a fresh one keeps that rule out of the way.
      const { status, text } = existsSync(join(overlay, 'tools/zones/reached.json'))
        ? runCheck(root)
        : runCheck(root, '--write');
      assert.notEqual(status, 0, `was not refused:\n${text}`);
      assert.ok(text.includes(expected), `expected: ${expected}\nfound:\n${text}`);
    });
  }
});
