// The process that runs what TypeScript tasks wait for: what each trigger comes to, and that nothing is said of a cancelled one.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import type { FromRunner } from '@airlock/contract/ipc/runner';
import type { TriggerWorkload } from '@airlock/contract/supervisor-api';
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
