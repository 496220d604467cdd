import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { spawnNode } from '@airlock/proc/node-child';
import { runScript } from '@airlock/proc/run-script';
import { BUNDLER, currentEntries, ENTRIES } from '../src/entries.ts';

const SERVICES = ['tokenService', 'control', 'supervisor'] as const;
const LONGEST_MS = 60_000;

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-entries-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('each service is started from one file that only its owner may write, loads from it, and ends when told to', async () => {
  const said: string[] = [];
  const entries = await currentEntries({ say: (_, message) => said.push(message) });
  assert.deepEqual(said, []);
  for (const name of SERVICES) {
    assert.match(entries[name], /\/dist\/[a-z-]+\.mjs$/);
    assert.equal(statSync(entries[name]).mode & 0o777, 0o644);
    const lines: string[] = [];
    const child = spawnNode({
      entry: entries[name],
      env: { PATH: '/usr/bin:/bin' },
      runAs: null,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      onLine: (line) => lines.push(line),
    });
    await child.stop(LONGEST_MS);
    assert.deepEqual(await child.exited, { code: 0, signal: null }, `${name}: ${lines.join('\n')}`);
  }
});

test('where the bundles can not be made the sources are started, and the log says why; the stamp alone decides whether they are made', async (t) => {
  const folder = folderFor(t);
  const broken = join(folder, 'broken.ts');
  writeFileSync(broken, "throw new Error('no room');");
  const said: string[] = [];
  const log = { say: (_: string, message: string) => said.push(message) };
  const stamp = join(folder, 'stamp');
  assert.deepEqual(await currentEntries(log, { stamp, bundler: broken }), ENTRIES);
  assert.match(said.join(), /could not be bundled.*no room/s);
  assert.equal(existsSync(stamp), false);
  said.length = 0;
  assert.match((await currentEntries(log, { stamp })).control, /dist\/control\.mjs$/);
  // Fresh now, so nobody is asked to make them: one that would fail makes no difference.
  assert.match((await currentEntries(log, { stamp, bundler: broken })).control, /dist\/control\.mjs$/);
  assert.deepEqual(said, []);
});

test('in a bundle a source knows its own place, wherever the tree is, and a part that is asked for later runs later', async (t) => {
  const folder = folderFor(t);
  const first = join(folder, 'first');
  mkdirSync(join(first, 'deep'), { recursive: true });
  writeFileSync(
    join(first, 'deep/place.ts'),
    'export const place: readonly string[] = [import.meta.url, import.meta.dirname];',
  );
  writeFileSync(
    join(first, 'entry.ts'),
    "console.log('before'); const { place } = await import('./deep/place.ts'); console.log(JSON.stringify(place));",
  );
  const out = (tree: string) => join(tree, 'out/entry.mjs');
  const made = await runScript(
    BUNDLER,
    [join(first, 'out/stamp'), 's', join(first, 'entry.ts'), out(first)],
    LONGEST_MS,
  );
  assert.equal(made.code, 0, made.output);
  const second = join(folder, 'second');
  renameSync(first, second);
  rmSync(join(second, 'deep'), { recursive: true });
  const run = await runScript(out(second), [], LONGEST_MS);
  const place = [pathToFileURL(join(second, 'deep/place.ts')).href, join(second, 'deep')];
  assert.equal(run.output, `before\n${JSON.stringify(place)}\n`);
});

test('a source that is no program makes no bundle and no stamp; the same without the mistake makes both', async (t) => {
  const folder = folderFor(t);
  const [entry, out, stamp] = [join(folder, 'a.ts'), join(folder, 'a.mjs'), join(folder, 'stamp')];
  writeFileSync(entry, "import './missing.ts';");
  assert.notEqual((await runScript(BUNDLER, [stamp, 's', entry, out], LONGEST_MS)).code, 0);
  assert.deepEqual([existsSync(out), existsSync(stamp)], [false, false]);
  writeFileSync(entry, 'export {};');
  assert.equal((await runScript(BUNDLER, [stamp, 's', entry, out], LONGEST_MS)).code, 0);
  assert.deepEqual([existsSync(out), existsSync(stamp)], [true, true]);
});
