import { equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { killLeftovers } from '../src/sandbox/children-file.ts';
import { processFacts } from '../src/sandbox/sweep.ts';

const detect = JSON.stringify(join(import.meta.dirname, '../src/sandbox/detect.ts'));
const launch = JSON.stringify(join(import.meta.dirname, '../src/sandbox/launch.ts'));
const children = JSON.stringify(join(import.meta.dirname, '../src/sandbox/children-file.ts'));
const entry = JSON.stringify(join(import.meta.dirname, 'fixtures/ask.ts'));
const proc = JSON.stringify(join(import.meta.dirname, '..'));

test('what a killed supervisor left behind is killed by the next one; an id that somebody else has is left alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-children-'));
  const file = join(folder, 'children');
  const script = `import { detectTier } from ${detect}; import { launchSandboxed } from ${launch}; import { trackChildren } from ${children};
    trackChildren(${JSON.stringify(file)});
    const c = launchSandboxed({ tier: detectTier(), entry: ${entry}, packages: [${proc}], network: 'host', env: { QUESTION: "new Promise(() => { console.log('up'); setInterval(() => {}, 1000); })" } });
    c.stdout.pipe(process.stdout);`;
  const parent = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise((resolve) => parent.stdout.once('data', resolve));
  parent.kill('SIGKILL');
  await new Promise((resolve) => parent.once('exit', resolve));
  const [pid] = readFileSync(file, 'utf8').trim().split('\n').at(-1)!.split(' ');
  const gone = () => {
    const facts = processFacts(Number(pid));
    return facts === null || facts.state === 'Z';
  };
  ok(!gone(), 'the control: it outlives its parent');
  writeFileSync(file, `${readFileSync(file, 'utf8')}${process.pid} 1\nrubbish\n-1 1\n`);
  equal(killLeftovers(file), 1);
  for (let turn = 0; turn < 200 && !gone(); turn++) await new Promise((resolve) => setTimeout(resolve, 10));
  ok(gone());
  rmSync(folder, { recursive: true, force: true });
});
