/** The same job as root and as somebody without rights. As root no user code and no service that meets the network runs as root. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { resultOf, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { type Part, partsBelow } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';

const isRoot = process.getuid!() === 0;
/** Has no account, no home and no rights. */
const NOBODY = 1_999_901;
const FIRST_TASK_UID = 2_000_000;

const whoami = `import { readFileSync } from 'node:fs';
import { dag } from '@airlock/sdk';
export default dag('whoami', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', {
    run: async () => {
      const status = readFileSync('/proc/self/status', 'utf8');
      const line = (name: string) => new RegExp('^' + name + ':\\\\s+(.*)', 'm').exec(status)?.[1] ?? '';
      return { uid: process.getuid!(), uids: line('Uid'), caps: line('CapEff'), noNewPrivs: line('NoNewPrivs') };
    },
  })();
});
`;

function userOf(pid: number): number {
  return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** Runs the job, and gives the user ids of the services by part. */
async function mainJob(airlock: Standalone): Promise<Record<string, number[]>> {
  const runId = await trigger(airlock, 'weather_report');
  assert.equal(await runEnd(airlock, 'weather_report', runId), 'success');
  const tasks = await taskInstances(airlock, 'weather_report', runId);
  assert.ok(tasks.length > 40 && tasks.every((task) => task.state === 'success'));
  const summary = readFileSync(join(airlock.home, 'output/weather_summary.json'), 'utf8');
  assert.equal((JSON.parse(summary) as { days: number }).days, 1461);
  assert.equal(readdirSync(join(airlock.home, 'output')).length, 3);
  const parts: Part[] = ['control', 'supervisor', 'token-service', 'postgres', 'runner'];
  return Object.fromEntries(parts.map((part) => [part, partsBelow(airlock.pid, part).map((one) => userOf(one.pid))]));
}

type Me = { uid: number; uids: string; caps: string; noNewPrivs: string };
async function whoIsATask(airlock: Standalone): Promise<Me> {
  const runId = await trigger(airlock, 'whoami');
  assert.equal(await runEnd(airlock, 'whoami', runId), 'success');
  const me = await resultOf(airlock, { dagId: 'whoami', runId, taskId: 't' });
  return (typeof me === 'string' ? JSON.parse(me) : me) as Me;
}
const options = { dags: { 'whoami.ts': whoami }, env: { AIRLOCK__CORE__LOAD_EXAMPLES: 'true' } };

describe('the main job by user', () => {
  test('as root: success, with only standalone and supervisor as root, and each task as a user of its own', {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    const airlock = await startStandalone(options);
    try {
      const users = await mainJob(airlock);
      const me = await whoIsATask(airlock);
      assert.ok(me.uid >= FIRST_TASK_UID, `a task runs as ${me.uid}`);
      assert.deepEqual(
        me.uids.split(/\s+/),
        Array(4).fill(String(me.uid)),
        'real, effective, saved and file system id',
      );
      assert.equal(Number(`0x${me.caps}`), 0);
      assert.equal(me.noNewPrivs, '1');
      assert.deepEqual(users.supervisor, [0], 'it gives the others their ids');
      for (const part of ['control', 'token-service', 'postgres', 'runner']) {
        assert.ok(users[part]!.length > 0, `no ${part} was seen`);
        assert.ok(!users[part]!.includes(0), `${part} runs as ${users[part]}`);
      }
      const services = ['control', 'token-service', 'postgres'].map((part) => users[part]![0]);
      assert.equal(new Set(services).size, 3, 'no two services share a user');
    } finally {
      await airlock.stop();
    }
  });

  test('as somebody without rights: success, and all of it as that user', async () => {
    const airlock = await startStandalone({ ...options, ...(isRoot ? { runAs: NOBODY } : {}) });
    try {
      const users = await mainJob(airlock);
      const expected = isRoot ? NOBODY : process.getuid!();
      for (const [part, ids] of Object.entries(users)) {
        assert.ok(ids.length > 0, `no ${part} was seen`);
        assert.ok(
          ids.every((id) => id === expected),
          `${part} runs as ${ids}`,
        );
      }
      const me = await whoIsATask(airlock);
      assert.notEqual(me.uid, 0);
      assert.equal(Number(`0x${me.caps}`), 0);
      assert.equal(me.noNewPrivs, '1');
    } finally {
      await airlock.stop();
    }
  });
});
