import { equal } from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { logPath } from './log-path.ts';
import { createLogStore } from './log-store.ts';

test('logs of a run that is gone go with it; links in them are not followed, and other runs keep theirs', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'airlock-logs-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const outside = join(root, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'kept'), '');
  const logs = createLogStore({ root: join(root, 'logs'), maxBytes: 1000 });
  const ref = { dagId: 'd', runId: 'r', taskId: 't', mapIndex: -1, tryNumber: 1 };
  await logs.append(ref, { base: 0, offset: 0 }, Buffer.from('line\n'));
  await logs.append({ ...ref, runId: 'other' }, { base: 0, offset: 0 }, Buffer.from('line\n'));
  symlinkSync(outside, join(root, 'logs', 'dag_id=d', 'run_id=r', 'link'));

  await logs.removeRun(ref);
  equal(existsSync(join(root, 'logs', logPath(ref))), false);
  equal(existsSync(join(outside, 'kept')), true);
  equal(existsSync(join(root, 'logs', logPath({ ...ref, runId: 'other' }))), true);
  await logs.removeRun(ref);
  // A later run of that name begins with an empty log.
  equal(await logs.append(ref, { base: 0, offset: 0 }, Buffer.from('new\n')), 4);
});
