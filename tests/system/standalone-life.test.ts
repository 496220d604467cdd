/** A standalone with all its real parts: each of them dies once, and nothing is lost or left, as root and as anybody else. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runEnd, taskInstances, trigger } from '../kit/api.ts';
import { descendantsOf, isSame, kill9, type Part, partsBelow } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { waitFor } from '../kit/wait.ts';

const ROOT = process.getuid!() === 0;
const STRANGER = 1_999_902;
const STOP_MS = 5000;
/** Tasks that would run for a minute, and end soon when they are tried again. */
const LONG_DAG = {
  'long.ts': `import { dag } from '@airlock/sdk';
export default dag('long', { schedule: null, startDate: '2026-01-01' }, (d) => {
  for (const name of ['a', 'b', 'c']) {
    d.task(name, {
      retries: 5, retryDelay: '1s',
      run: async (_: {}, { tryNumber }) => {
        if (tryNumber === 1) await new Promise((resolve) => setTimeout(resolve, 60_000));
        return name;
      },
    })();
  }
});\n`,
};
const DAG = {
  'one.ts': `import { dag } from '@airlock/sdk';
export default dag('one', { schedule: null, startDate: '2026-01-01' }, (d) => {
  d.task('t', { retries: 2, retryDelay: '1s', run: async () => 1 })();
});\n`,
};

/** A run that starts after all was healed ends well; the request is repeated while the API server is away. */
const works = async (airlock: Standalone) => {
  const run = await waitFor('a run can be triggered', () => trigger(airlock, 'one'), {
    timeoutMs: 20_000,
    everyMs: 100,
  });
  assert.equal(await runEnd(airlock, 'one', run), 'success');
};

async function eachPartDies(options: Parameters<typeof startStandalone>[0]): Promise<void> {
  await using airlock = await startStandalone({ ...options, dags: DAG });
  await works(airlock);
  for (const part of ['token-service', 'control', 'supervisor', 'postgres'] as const satisfies readonly Part[]) {
    const [victim] = partsBelow(airlock.pid, part);
    assert.ok(victim, `no ${part}`);
    const below = descendantsOf(victim.pid);
    assert.ok(kill9(victim.pid));
    await waitFor(`${part} is back`, () => partsBelow(airlock.pid, part).some((one) => one.pid !== victim.pid));
    await waitFor(`what ran below the dead ${part} is gone`, () => !below.some(isSame));
    await works(airlock);
  }
  const ms = await airlock.stop();
  assert.ok(ms <= STOP_MS, `the stop took ${ms} ms`);
}

describe('a standalone', () => {
  test('heals the death of each of its processes, and stops within five seconds with nothing left', async () => {
    await eachPartDies({});
  });

  test('does the same for an unprivileged user', {
    skip: !ROOT && 'this is what the other test does here',
  }, async () => {
    using home = tempHome();
    chmodSync(home.path, 0o755);
    const inner = join(home.path, 'data');
    mkdirSync(inner);
    await eachPartDies({ home: inner, runAs: STRANGER });
  });

  test('stops within five seconds while tasks run, and the next start brings their run to its end', async () => {
    // A stop is no failure of the tasks: nothing that was begun may be forgotten.
    using home = tempHome();
    const first = await startStandalone({ home: home.path, dags: LONG_DAG });
    const run = await waitFor('a run can be triggered', () => trigger(first, 'long'), { everyMs: 100 });
    const running = async () => (await taskInstances(first, 'long', run)).filter((task) => task.state === 'running');
    await waitFor('its tasks run', async () => (await running()).length === 3);
    const ms = await first.stop();
    assert.ok(ms <= STOP_MS, `the stop took ${ms} ms`);
    const second = await startStandalone({ home: home.path });
    assert.equal(await runEnd(second, 'long', run), 'success');
    await second.stop();
  });

  test('takes everything with it when it is killed itself, and the next start goes on', async () => {
    using home = tempHome();
    const first = await startStandalone({ home: home.path, dags: DAG });
    await works(first);
    await first.crash();
    const second = await startStandalone({ home: home.path });
    await works(second);
    await second.stop();
  });
});
