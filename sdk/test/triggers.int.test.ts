// The process that runs what TypeScript tasks wait for: what each trigger comes to, and that nothing is said of a cancelled one.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FromRunner } from '@airlock/contract/ipc/runner';
import type { TriggerWorkload } from '@airlock/contract/supervisor-api';
import { waitFor } from '../../tests/kit/wait.ts';
import { type Child, startChild } from './kit/child.ts';

type Said = Extract<FromRunner, { type: 'trigger_outcome' }>;
let child: Child;
let server: Server;
let origin: string;
let asked = 0;
const said = new Map<number, PromiseWithResolvers<Said['outcome']>>();
const outcome = (id: number) => {
  if (!said.has(id)) said.set(id, Promise.withResolvers());
  return said.get(id)!;
};

/** What the server answers to each path, one after the other; the last one stays. */
const answers = new Map<string, unknown[]>();
const calls: Array<{ path: string; trigger: number }> = [];
function answerTo(path: string, trigger: number) {
  calls.push({ path, trigger });
  const left = answers.get(path) ?? [403];
  const next = left.length > 1 ? left.shift() : left[0];
  if (next === 'away') return { error: { status: null, code: 'API_UNREACHABLE', message: 'away' } };
  const status = typeof next === 'number' ? next : 200;
  return { value: { status, headers: {}, body: status === 200 ? JSON.stringify((next as { is: unknown }).is) : '{}' } };
}

before(async () => {
  server = createServer((request, response) => {
    asked++;
    const ready = request.headers['x-key'] === 'k' && asked > 2;
    response.writeHead(ready ? 200 : 503).end(ready ? 'all is ready' : 'not yet');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  child = startChild('triggers');
  child.onFrame = (frame) => {
    if (frame.type === 'trigger_outcome') outcome(frame.trigger_id).resolve(frame.outcome);
    if (frame.type === 'trigger_call')
      child.send({ type: 'answer', id: frame.id, ...answerTo(frame.path, frame.trigger_id) });
  };
  child.send({ type: 'triggers', bundle_root: '', on_kill_seconds: 1, env: {} });
});
after(() => {
  child.kill();
  server.closeAllConnections();
  server.close();
});

function start(id: number, classpath: string, kwargs: object): Promise<Said['outcome']> {
  const trigger: TriggerWorkload = {
    id,
    classpath,
    kwargs: JSON.stringify(kwargs),
    runtime: 'typescript',
    team: null,
    bundle_name: 'dags-folder',
    bundle_path: null,
    timeout_after: null,
    log_offset: 0,
    ti: {
      id: '01890000-0000-7000-8000-000000000000',
      task_id: 't',
      dag_id: 'd',
      run_id: 'r',
      try_number: 1,
      dag_version_id: '01890000-0000-7000-8000-000000000001',
      map_index: -1,
      hostname: null,
      context_carrier: null,
      queue: 'typescript',
      pool_slots: 1,
      priority_weight: 1,
    },
  };
  child.send({ type: 'trigger_start', trigger });
  return outcome(id).promise;
}
const http = { every: 0.05, method: 'GET', headers: { 'x-key': 'k' }, status: 200, contains: null };

test('a time that is over, and one that comes', async () => {
  const past = '2020-01-01T00:00:00.000Z';
  assert.deepEqual(await start(1, 'airlock.until', { at: past }), {
    kind: 'event',
    payload: JSON.stringify({ at: past }),
  });
  const soon = new Date(Date.now() + 300).toISOString();
  assert.deepEqual(await start(2, 'airlock.until', { at: soon }), {
    kind: 'event',
    payload: JSON.stringify({ at: soon }),
  });
  assert.ok(Date.now() >= Date.parse(soon), 'not before');
});

test('an address is asked until it answers as it should', async () => {
  const event = await start(3, 'airlock.http', { ...http, url: origin, contains: 'ready' });
  assert.deepEqual(event, { kind: 'event', payload: JSON.stringify({ status: 200, body: 'all is ready' }) });
  assert.ok(asked > 2);
  assert.ok(child.frames.some((frame) => frame.type === 'trigger_log' && frame.event.includes('503')));
});

test('what there is no trigger for fails its own task and no other', async () => {
  const waiting = start(4, 'airlock.until', { at: new Date(Date.now() + 500).toISOString() });
  for (const [id, name] of [
    [5, 'airlock.none'],
    [6, 'constructor'],
    [7, '__proto__'],
  ] as const)
    assert.equal((await start(id, name, {})).kind, 'failure');
  assert.equal((await start(8, 'airlock.http', { ...http, url: 5, headers: 5 })).kind, 'failure');
  assert.equal((await waiting).kind, 'event');
});

test('of a cancelled one nothing is heard, and the loop goes on', async () => {
  let heard = false;
  void start(9, 'airlock.until', { at: new Date(Date.now() + 200).toISOString() }).then(() => {
    heard = true;
  });
  child.send({ type: 'trigger_cancel', id: 9, kill: true });
  await start(10, 'airlock.until', { at: new Date(Date.now() + 600).toISOString() });
  assert.equal(heard, false);
  assert.ok(child.frames.some((frame) => frame.type === 'beat'));
});

test('a file, once it is one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'airlock-file-'));
  const path = join(folder, 'ready');
  await mkdir(path);
  const waiting = start(20, 'airlock.file', { path, every: 0.05 });
  const gone = start(21, 'airlock.file', { path: join(folder, 'absent'), every: 0.05 });
  const said = (text: string) =>
    child.frames.some((frame) => frame.type === 'trigger_log' && frame.event.includes(text));
  await waitFor('it has looked', () => said('is there, and no file') && said('ENOENT'));
  await rm(path, { recursive: true });
  await writeFile(path, 'all');
  const event = await waiting;
  assert.ok(event.kind === 'event');
  const { size, modifiedAt } = JSON.parse(event.payload) as { size: number; modifiedAt: string };
  assert.deepEqual([size, Number.isNaN(Date.parse(modifiedAt))], [3, false]);
  child.send({ type: 'trigger_cancel', id: 21, kill: true });
  void gone;
  await rm(folder, { recursive: true });
});

const run = { dag_id: 'a b', run_id: 'r&s', logical_date: null, every: 0.05 };
const count = (state: string, of = 'run_ids=r%26s') => `/dag-runs/count?dag_id=a+b&${of}&states=${state}`;

test('a run, when it has succeeded; asked for in the name of its own trigger, through an absence of the server', async () => {
  answers.set(count('success'), ['away', 503, { is: 0 }, { is: 1 }]);
  answers.set(count('failed'), [{ is: 0 }]);
  assert.deepEqual(await start(30, 'airlock.run', run), { kind: 'event', payload: '{"state":"success"}' });
  assert.ok(calls.every(({ trigger }) => trigger === 30));
});

test('refused or failed: the wait fails', async () => {
  const date = 'logical_dates=2026-01-01T00%3A00%3A00.000Z';
  answers.set(count('success', date), [{ is: 0 }]);
  answers.set(count('failed', date), [{ is: 0 }, { is: 1 }]);
  const failed = await start(31, 'airlock.run', { ...run, run_id: null, logical_date: '2026-01-01T00:00:00.000Z' });
  assert.ok(failed.kind === 'failure' && /has failed/.test(failed.traceback![0]!));
  const refused = await start(32, 'airlock.run', { ...run, dag_id: 'not declared' });
  assert.ok(refused.kind === 'failure' && /reads/.test(refused.traceback![0]!), 'it says what to do');
  assert.equal((await start(33, 'airlock.asset', { name: 'not declared', after: 'x', every: 0.05 })).kind, 'failure');
});

const tasks = {
  ...run,
  task_ids: ['load', 'x'],
  allowed_states: ['success'],
  failed_states: ['failed', 'upstream_failed'],
  skipped_states: ['skipped'],
};
const statesPath = '/task-instances/states?dag_id=a+b&run_ids=r%26s';
const ofTasks = `${statesPath}&task_ids=load&task_ids=x`;
const seen = (states: Record<string, string | null>) => ({ is: { task_states: { 'r&s': states } } });

test('tasks of a run, when every instance of each of them is there and as it should be', async () => {
  answers.set(ofTasks, [
    'away',
    { is: { task_states: {} } },
    seen({ load: 'success' }), // x is not there yet; load_0 below is no x
    seen({ load_0: 'success', load_1: 'running', x: 'success' }),
    seen({ load_0: 'success', load_1: 'success', x: null }),
    seen({ load_0: 'success', load_1: 'success', load_2: 'removed', x: 'success' }),
  ]);
  assert.deepEqual(await start(34, 'airlock.tasks', tasks), {
    kind: 'event',
    payload: JSON.stringify({ states: { load_0: 'success', load_1: 'success', x: 'success' } }),
  });
  answers.set(`${statesPath}&task_group_id=g+1`, [
    seen({ a: 'running', b: 'success' }),
    seen({ a: 'success', b: 'success' }),
  ]);
  const { task_ids: _, ...group } = { ...tasks, task_group_id: 'g 1' };
  assert.equal((await start(35, 'airlock.tasks', group)).kind, 'event');
});

test('a task that fails fails the wait, before one that is skipped skips it; states may be told to mean otherwise', async () => {
  answers.set(ofTasks, [seen({ load: null, x: 'skipped' })]);
  const skipped = await start(36, 'airlock.tasks', tasks);
  assert.ok(
    skipped.kind === 'event' &&
      /x, which this one waits for, is skipped/.test(JSON.parse(skipped.payload).__airlock_skip),
  );
  answers.set(ofTasks, [seen({ load: 'skipped', x: 'upstream_failed' })]);
  const failed = await start(37, 'airlock.tasks', tasks);
  assert.ok(failed.kind === 'failure' && /x, which this one waits for, is upstream_failed/.test(failed.traceback![0]!));
  const either = { ...tasks, allowed_states: ['skipped', 'upstream_failed'], failed_states: [], skipped_states: [] };
  assert.equal((await start(38, 'airlock.tasks', either)).kind, 'event');
  const refused = await start(39, 'airlock.tasks', { ...tasks, dag_id: 'not declared' });
  assert.ok(refused.kind === 'failure' && /tasks: \[/.test(refused.traceback![0]!), 'it says what to do');
});

test('the first event of an asset', async () => {
  const event = {
    id: 7,
    timestamp: 't',
    extra: { n: 1 },
    source_dag_id: 'd',
    source_run_id: 'r',
    source_task_id: 't',
    more: 1,
  };
  answers.set('/asset-events/by-asset?name=a&uri=&after=t0&ascending=true&limit=1', [
    { is: { asset_events: [] } },
    { is: { asset_events: [event] } },
  ]);
  assert.deepEqual(await start(40, 'airlock.asset', { name: 'a', after: 't0', every: 0.05 }), {
    kind: 'event',
    payload: JSON.stringify({
      id: 7,
      timestamp: 't',
      extra: { n: 1 },
      source: { dagId: 'd', runId: 'r', taskId: 't' },
    }),
  });
});
