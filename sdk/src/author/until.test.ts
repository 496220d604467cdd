import assert from 'node:assert/strict';
import test from 'node:test';
import { runDag } from '../testing/index.ts';
import { dag } from './dag.ts';
import { Skip } from './outcome.ts';
import { isTrigger, until } from './until.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const made = (value: unknown) => {
  assert.ok(isTrigger(value));
  return { name: value.name, ...value.arguments(NOW) };
};

test('a delay counts from the start of the wait, an instant from nowhere', () => {
  assert.deepEqual(made(until.delay('1h30m')), { name: 'airlock.until', at: '2026-01-01T01:30:00.000Z' });
  assert.deepEqual(made(until.at('2026-07-01T12:00:00+02:00')), {
    name: 'airlock.until',
    at: '2026-07-01T10:00:00.000Z',
  });
  assert.deepEqual(made(until.at(new Date(NOW))), { name: 'airlock.until', at: '2026-01-01T00:00:00.000Z' });
});

test('an address has defaults', () => {
  assert.deepEqual(made(until.http('https://partner.example/a', { every: '5s', contains: 'ok' })), {
    name: 'airlock.http',
    url: 'https://partner.example/a',
    every: 5,
    method: 'GET',
    headers: {},
    status: 200,
    contains: 'ok',
  });
});

test('a file, a run and an asset say what is looked at, and what has to be declared for it', () => {
  assert.deepEqual(made(until.file('/data/in.csv', { every: '5s' })), {
    name: 'airlock.file',
    path: '/data/in.csv',
    every: 5,
  });
  const run = { name: 'airlock.run', dag_id: 'orders', every: 60 };
  assert.deepEqual(made(until.run('orders', { runId: 'r' })), {
    ...run,
    run_id: 'r',
    logical_date: null,
  });
  assert.deepEqual(made(until.run('orders', { logicalDate: '2026-07-01T12:00:00+02:00' })), {
    ...run,
    run_id: null,
    logical_date: '2026-07-01T10:00:00.000Z',
  });
  const asset = { name: 'orders', after: '2026-01-01T00:00:00.000Z', every: 60 };
  assert.deepEqual(made(until.asset('orders')), asset, 'from the start of the wait');
  assert.deepEqual(made(until.asset('orders', { after: new Date(NOW - 1000) })), {
    ...asset,
    after: '2025-12-31T23:59:59.000Z',
  });
});

test('tasks and a task group of a run say which states end the wait, and are declared by name', () => {
  const run = { name: 'airlock.tasks', dag_id: 'orders', run_id: 'r', logical_date: null, every: 60 };
  const states = {
    allowed_states: ['success'],
    failed_states: ['failed', 'upstream_failed'],
    skipped_states: ['skipped'],
  };
  const one = until.task('orders', 'load', { runId: 'r' });
  assert.deepEqual(made(one), { ...run, ...states, task_ids: ['load'] });
  assert.deepEqual(isTrigger(one) && one.reads, { tasks: ['orders/load'] });
  const several = until.task('orders', ['load', 'check', 'load'], {
    runId: 'r',
    allowedStates: ['success', 'skipped'],
  });
  assert.deepEqual(made(several), {
    ...run,
    ...states,
    task_ids: ['load', 'check'],
    allowed_states: ['success', 'skipped'],
    skipped_states: [],
  });
  const given = { allowedStates: ['failed'], failedStates: ['success'], skippedStates: [] } as const;
  const group = until.taskGroup('orders', 'section', { logicalDate: new Date(NOW), ...given });
  assert.deepEqual(made(group), {
    ...run,
    run_id: null,
    logical_date: '2026-01-01T00:00:00.000Z',
    task_group_id: 'section',
    allowed_states: ['failed'],
    failed_states: ['success'],
    skipped_states: [],
  });
  assert.deepEqual(isTrigger(group) && group.reads, { tasks: ['orders/section'] });
});

for (const [what, make] of Object.entries({
  'a file beside the Dag': () => until.file('in.csv'),
  'a file without a name': () => until.file(''),
  'a file with a NUL': () => until.file('/a\0b'),
  'no run': () => until.run('orders', {}),
  'no options': () => until.run('orders', undefined as never),
  'two runs': () => until.run('orders', { runId: 'r', logicalDate: new Date(NOW) }),
  'a run of no Dag': () => until.run('', { runId: 'r' }),
  'a day without an offset': () => until.run('orders', { logicalDate: '2026-07-01T00:00:00' }),
  'an asset without a name': () => until.asset(''),
  'no task': () => until.task('orders', [], { runId: 'r' }),
  'a task without a name': () => until.task('orders', ['load', ''], { runId: 'r' }),
  'too many tasks': () =>
    until.task(
      'orders',
      Array.from({ length: 101 }, (_, n) => `t${n}`),
      { runId: 'r' },
    ),
  'tasks whose ids no request can hold': () =>
    until.task(
      'orders',
      Array.from({ length: 30 }, (_, n) => `${n}`.padStart(200, 'x')),
      { runId: 'r' },
    ),
  'a task of no run': () => until.task('orders', 'load', {}),
  'a task of two runs': () => until.task('orders', 'load', { runId: 'r', logicalDate: new Date(NOW) }),
  'a task of a path': () => until.task('orders', 'a/b', { runId: 'r' }),
  'a group of a path': () => until.taskGroup('a/b', 'section', { runId: 'r' }),
  'a state that is none': () => until.task('orders', 'load', { runId: 'r', allowedStates: ['done' as never] }),
  'a state for a list': () => until.task('orders', 'load', { runId: 'r', failedStates: 'failed' as never }),
  'a state in two lists': () =>
    until.task('orders', 'load', { runId: 'r', allowedStates: ['failed'], failedStates: ['failed'] }),
  'a wait that nothing ends': () => until.task('orders', 'load', { runId: 'r', allowedStates: [] }),
  'a look each millisecond at a file': () => until.file('/a', { every: '1ms' }),
  'a negative delay': () => until.delay(-1),
  'no duration': () => until.delay('soon'),
  'an instant without an offset, which means another time on each machine': () => until.at('2026-07-01T12:00:00'),
  'no instant': () => until.at('noonZ'),
  'no address': () => until.http('partner.example'),
  'a file': () => until.http('file:///etc/passwd'),
  'a look each millisecond': () => until.http('https://partner.example', { every: '1ms' }),
}))
  test(`refused: ${what}`, () => assert.throws(make, { name: 'DagError' }));

test('refused: a wait for what is no trigger', () => {
  const wrong = dag('d', {}, (d) => {
    d.wait('w', { until: '2h' as never })();
  });
  assert.throws(() => wrong.graph(), { name: 'DagError', message: /no trigger/ });
});

test('what a task waits for is its result; a time is skipped in a test, other events are given', async () => {
  const waits = dag('d', { params: { hours: 2 } }, (d) => {
    const noon = d.wait('noon', { until: ({ params }) => until.delay(`${params.hours}h`) });
    const page = d.wait('page', { until: until.http('https://partner.example'), timeout: '1h' });
    const read = d.task('read', { run: ({ page: given }: { page: { status: number; body: string } }) => given.body });
    read({ page: page() }).after(noon());
  });
  const run = await runDag(waits, { replace: { page: () => ({ status: 200, body: 'ready' }) } });
  assert.equal(run.state, 'success');
  assert.equal(run.task('read').value, 'ready');
  assert.equal(run.skippedSeconds, 7200);
  const alone = await runDag(waits, {});
  assert.equal(alone.state, 'failed');
  assert.match(alone.task('page').error?.message ?? '', /give its event by replace/);
});

test('a wait for a task is given its event in a test, as any other, and one that is told to skip is skipped', async () => {
  const waits = dag('d', {}, (d) => {
    const load = d.wait('load', { until: until.task('orders', 'load', { runId: 'r' }) });
    const read = d.task('read', { run: ({ load: { states } }: { load: { states: object } }) => Object.keys(states) });
    read({ load: load() });
  });
  const run = await runDag(waits, { replace: { load: () => ({ states: { load: 'success' } }) } });
  assert.deepEqual(run.task('read').value, ['load']);
  const skip = () => {
    throw new Skip('it was skipped');
  };
  const skipped = await runDag(waits, { replace: { load: skip } });
  assert.deepEqual([skipped.task('load').state, skipped.task('read').state], ['skipped', 'skipped']);
});

test('a wait that takes too long fails without a retry', async () => {
  const late = dag('d', {}, (d) => {
    d.wait('w', { until: until.delay('2h'), timeout: '1h', retries: 3 })();
  });
  const run = await runDag(late, {});
  assert.deepEqual([run.state, run.task('w').tries, run.task('w').error?.name], ['failed', 1, 'WaitTimeout']);
  assert.equal(run.skippedSeconds, 3600);
});
