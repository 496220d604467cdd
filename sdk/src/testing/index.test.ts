import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connection, dag, Fail, Skip, variable } from '../author/index.ts';
import { runDag } from './index.ts';

const region = variable<'eu' | 'us'>('region');
const warehouse = connection('warehouse');

const sales = dag('sales', { params: { day: '2026-01-01', factor: 1 } }, (d) => {
  const ready = d.sensor('ready', { every: '60s', timeout: '2h', check: async ({ params }) => params.day !== 'never' });
  const list = d.task('list', { run: async (_: object, { params }) => [`${params.day}/a`, `${params.day}/bb`] });
  const load = d.task('load', {
    needs: { warehouse },
    run: async ({ file }: { file: string }, { needs, log, params }) => {
      log.info('loading', { file, to: needs.warehouse.host });
      return file.length * params.factor;
    },
  });
  const report = d.task('report', {
    needs: { region },
    run: async ({ rows }: { rows: number[] }, { needs }) => `${needs.region}: ${rows.reduce((a, b) => a + b, 0)}`,
  });
  report({ rows: load.map({ file: list().after(ready()) }) });
});
const GIVEN = { variables: { region: 'eu' }, connections: { warehouse: { host: 'db.example' } } };

test('a Dag runs in memory, with values, states and logs for each task', async () => {
  const run = await runDag(sales, { ...GIVEN, params: { factor: 10 } });
  assert.equal(run.state, 'success');
  assert.equal(run.task('report').value, 'eu: 250');
  assert.deepEqual(run.task('list').value, ['2026-01-01/a', '2026-01-01/bb']);
  assert.deepEqual(run.task('load').value, [120, 130]);
  assert.deepEqual(
    run.task('load').instances.map((i) => i.input),
    [{ file: '2026-01-01/a' }, { file: '2026-01-01/bb' }],
  );
  assert.deepEqual(
    run.task('load').logs.map((l) => [l.level, l.event, l.fields.to]),
    [
      ['info', 'loading', 'db.example'],
      ['info', 'loading', 'db.example'],
    ],
  );
  assert.equal(run.task('ready').looks, 1);
});

test('a sensor that never gets ready fails after its timeout, without anybody waiting', async () => {
  const startedAt = performance.now();
  const run = await runDag(sales, { ...GIVEN, params: { day: 'never' } });
  assert.ok(performance.now() - startedAt < 2000);
  assert.equal(run.state, 'failed');
  assert.equal(run.task('ready').error?.name, 'SensorTimeout');
  assert.equal(run.task('ready').looks, 121);
  assert.equal(run.skippedSeconds, 7200);
  assert.deepEqual(
    ['list', 'load', 'report'].map((id) => run.task(id).state),
    ['upstream_failed', 'upstream_failed', 'upstream_failed'],
  );
});

test('what a task needs and is not given fails it, as in a real run', async () => {
  const run = await runDag(sales, { connections: GIVEN.connections });
  assert.match(run.task('report').error?.message ?? '', /Variable region does not exist/);
  assert.equal(run.task('load').state, 'success');
});

test('retries wait in skipped time, and end with success or the last error', async () => {
  let fails = 2;
  const flaky = dag('flaky', { defaults: { retries: 3, retryDelay: '10s..25s' } }, (d) => {
    d.task('t', {
      run: async (_: object, { tryNumber, task }) => {
        if (fails-- > 0) throw new Error(`try ${tryNumber} of ${task.maxTries}`);
        return tryNumber;
      },
    })();
  });
  const good = await runDag(flaky);
  assert.deepEqual([good.task('t').value, good.task('t').tries, good.skippedSeconds], [3, 3, 10 + 20]);
  fails = 99;
  const bad = await runDag(flaky);
  assert.deepEqual([bad.state, bad.task('t').tries, bad.task('t').error?.message], ['failed', 4, 'try 4 of 4']);
  assert.equal(bad.skippedSeconds, 10 + 20 + 25);
});

test('Fail is final and Skip spreads', async () => {
  const value = dag('d', { defaults: { retries: 5 } }, (d) => {
    const fail = d.task('fail', { run: () => { throw new Fail('no'); } }); // biome-ignore format: short
    const skip = d.task('skip', { run: () => { throw new Skip('nothing'); } }); // biome-ignore format: short
    d.task('below_fail', { run: () => 1 })().after(fail());
    d.task('below_skip', { run: () => 1 })().after(skip());
    d.task('free', { run: () => 1 })();
  });
  const run = await runDag(value);
  const states = Object.fromEntries([...run.tasks].map(([id, task]) => [id, task.state]));
  assert.deepEqual(states, {
    fail: 'failed',
    skip: 'skipped',
    free: 'success',
    below_fail: 'upstream_failed',
    below_skip: 'skipped',
  });
  assert.equal(run.task('fail').tries, 1);
  assert.equal(run.task('skip').reason, 'nothing');
});

test('a timeout is cut down to what a test can wait, and aborts the signal', async () => {
  let aborted = false;
  const value = dag('d', {}, (d) => {
    d.task('t', {
      timeout: '1h',
      run: (_: object, { signal }) =>
        new Promise<number>(() => {
          signal.addEventListener('abort', () => {
            aborted = true;
          });
        }),
    })();
  });
  const run = await runDag(value, { realTimeoutMs: 20 });
  assert.match(run.task('t').error?.message ?? '', /timeout of 3600 s/);
  assert.equal(run.skippedSeconds, 3600);
  assert.ok(aborted);
});

test('bodies can be replaced, and a slip in their names is noticed', async () => {
  const run = await runDag(sales, { ...GIVEN, replace: { list: () => ['x'], ready: () => true } });
  assert.equal(run.task('report').value, 'eu: 1');
  await assert.rejects(runDag(sales, { replace: { lst: () => [] } }), /no task lst/);
  assert.throws(() => run.task('lst'), /has no task lst\. It has ready/);
});

test('an empty fan-out is skipped, and so is what waits for it', async () => {
  const run = await runDag(sales, { ...GIVEN, replace: { list: () => [] } });
  assert.deepEqual([run.task('load').state, run.task('report').state, run.state], ['skipped', 'skipped', 'success']);
});

test('results travel as JSON: what is not JSON fails, and nobody shares an object', async () => {
  const shared = dag('d', {}, (d) => {
    const make = d.task('make', { run: async () => ({ list: [1] }) });
    const change = d.task('change', {
      run: async ({ x }: { x: { list: number[] } }) => {
        x.list.push(2);
        return x.list.length;
      },
    });
    const read = d.task('read', { run: async ({ x }: { x: { list: number[] } }) => x.list.length });
    const made = make();
    read({ x: made }).after(change({ x: made }));
  });
  const run = await runDag(shared);
  assert.deepEqual([run.task('change').value, run.task('read').value], [2, 1]);
  const bad = await runDag(shared, { replace: { make: () => ({ list: [() => 1] }) } });
  assert.match(bad.task('make').error?.message ?? '', /at \$\.list\[0\], is the function/);
});

test('each try has a work folder of its own, which is gone afterwards', async () => {
  const folders: string[] = [];
  const value = dag('d', {}, (d) => {
    d.task('t', {
      retries: 1,
      retryDelay: 1,
      run: async (_: object, { workDir, tryNumber }) => {
        folders.push(workDir);
        writeFileSync(join(workDir, 'x'), 'y');
        if (tryNumber === 1) throw new Error('again');
        return readFileSync(join(workDir, 'x'), 'utf8');
      },
    })();
  });
  assert.equal((await runDag(value)).task('t').value, 'y');
  assert.equal(new Set(folders).size, 2);
  assert.ok(folders.every((folder) => !existsSync(folder)));
});

class Throttled extends Error {}
class Denied extends Error {}

test('a retry policy decides by the error: another wait, no further try, or as the task says', async () => {
  const asked: unknown[] = [];
  const policed = (thrown: () => Error, policy: unknown, retries = 2) =>
    runDag(
      dag('policed', {}, (d) => {
        d.task('t', {
          retries,
          retryDelay: '100s',
          retryPolicy: policy as () => undefined,
          run: () => {
            throw thrown();
          },
        })();
      }),
    );
  const policy = (error: Error, attempt: unknown) => {
    asked.push(attempt);
    if (error instanceof Throttled) return { retry: '5s', reason: 'rate limit' };
    return error instanceof Denied ? { fail: 'no key helps' } : undefined;
  };
  const seen = async (...of: Parameters<typeof policed>) => {
    const run = await policed(...of);
    return [run.task('t').state, run.task('t').tries, run.skippedSeconds];
  };
  assert.deepEqual(await seen(() => new Throttled('429'), policy), ['failed', 3, 10]);
  assert.deepEqual(
    asked,
    [1, 2, 3].map((tryNumber) => ({ tryNumber, maxTries: 3 })),
  );
  assert.deepEqual(await seen(() => new Denied('401'), policy), ['failed', 1, 0]);
  assert.deepEqual(await seen(() => new Error('other'), policy), ['failed', 3, 200], 'control: nothing said');
  assert.deepEqual(await seen(() => new Throttled('429'), policy, 0), ['failed', 1, 0], 'it adds no try');
  asked.length = 0;
  assert.deepEqual(await seen(() => new Fail('for good'), policy), ['failed', 1, 0]);
  assert.deepEqual(asked, [], 'Fail has decided already');
});

test('a retry policy that fails, or says something else, changes nothing and is logged', async () => {
  const wrong: unknown[] = [
    () => assert.fail('no policy'),
    () => 'fail',
    () => ({ retry: 'soon' }),
    () => ({ retry: '5s', fail: 'both' }),
    () => ({ retry: '5s', reason: 1 }),
    async () => ({ fail: 'late' }),
  ];
  for (const policy of wrong) {
    const run = await runDag(
      dag('policed', {}, (d) => {
        d.task('t', {
          retries: 1,
          retryDelay: '100s',
          retryPolicy: policy as () => undefined,
          run: () => {
            throw new Error('x');
          },
        })();
      }),
    );
    assert.deepEqual([run.task('t').tries, run.skippedSeconds], [2, 100], String(policy));
    assert.ok(run.task('t').logs.some((line) => /retry policy failed/.test(line.event)));
  }
});
