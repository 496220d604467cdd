// Questions to timetables of the authors' own go to the dag-processors that may parse the bundle, and their answers count once.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import type { TimetableQuestion } from '@airlock/contract/supervisor-api';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from '../kit/dags.ts';
import { dayRun, OWN } from '../kit/timetables.ts';
import { type Server, startExecutionApi } from './kit.ts';

type Host = Awaited<ReturnType<Server['joinWorker']>>;
const iso = (server: Server) => new Date(server.nowMs()).toISOString();
const post = (server: Server, host: Host, kind: 'worker' | 'parse', path: string, json: object) =>
  server.call('POST', path, { key: host.key, token: host.tokens[kind]!, json });
const claim = (server: Server, host: Host, over: object = {}, kind: 'worker' | 'parse' = 'parse') =>
  post(server, host, kind, '/timetables/claim', {
    bundles: ['dags-folder'],
    slots: 2,
    holds: [],
    wait_seconds: 0,
    ...over,
  });
const claimed = async (server: Server, host: Host, over: object = {}) =>
  (await claim(server, host, over)).json<{ questions: TimetableQuestion[] }>().questions;
const runs = { kind: 'runs', runs: [dayRun(9)] };

async function withDag(server: Server): Promise<void> {
  await withBundle(server.db);
  await ingest(
    server.db,
    'own.ts',
    [dagDocument('own', [{ id: 'a' }], { timetable: OWN, start_date: 1 })],
    iso(server),
  );
}

test('a dag-processor is given the question as it comes, and its answer is taken once', async () => {
  await using server = await startExecutionApi();
  const host = await server.joinWorker(['parse']);
  await withBundle(server.db);
  const waiting = claimed(server, host, { wait_seconds: 30 });
  await withDag(server);
  const [question] = await waiting;
  assert.deepEqual([question!.dag_id, question!.bundle_name, question!.timetable], ['own', 'dags-folder', OWN]);
  assert.deepEqual(
    (await claimed(server, host)).map((one) => one.id),
    [question!.id],
    'again, if it never got it',
  );
  assert.deepEqual(await claimed(server, host, { holds: [question!.id] }), [], 'not what it works on');
  const say = async () => (await post(server, host, 'parse', `/timetables/${question!.id}/answer`, runs)).json();
  assert.deepEqual([await say(), await say()], [{ accepted: true }, { accepted: false }]);
});

test('it is given to nobody else, and nobody else can answer it', async () => {
  await using server = await startExecutionApi();
  await withDag(server);
  const [one, two] = [await server.joinWorker(['parse', 'worker']), await server.joinWorker(['parse'])];
  const worker = await claim(server, one, {}, 'worker');
  assert.deepEqual(
    [worker.status, worker.json<{ detail: string }>().detail.includes('Allowed types: parse')],
    [403, true],
  );
  assert.deepEqual(await claimed(server, one, { bundles: ['other'] }), []);
  await server.db.query(sql`UPDATE supervisor SET bundles = '{other}' WHERE id = ${two.id}`);
  assert.deepEqual(await claimed(server, two), [], 'not admitted for the bundle, whatever it names');
  const [question] = await claimed(server, one);
  for (const id of [question!.id, randomUUID(), 'x', question!.id.toUpperCase()]) {
    const answer = await post(server, two, 'parse', `/timetables/${id}/answer`, runs);
    assert.deepEqual([answer.status, answer.json()], [200, { accepted: false }], id);
  }
  const own = await post(server, one, 'parse', `/timetables/${question!.id}/answer`, runs);
  assert.deepEqual(own.json(), { accepted: true }, 'the control');
});

test('what is no answer is refused with the field, and leaves the question open', async () => {
  await using server = await startExecutionApi();
  await withDag(server);
  const host = await server.joinWorker(['parse']);
  const [question] = await claimed(server, host);
  const run = dayRun(9);
  for (const json of [
    {},
    { kind: 'runs' },
    { kind: 'runs', runs: [{ ...run, run_after: 'soon' }] },
    { kind: 'runs', runs: [{ ...run, run_after: '2026-02-30T25:00:00Z' }] },
    { kind: 'runs', runs: [{ ...run, interval: null }] },
    { kind: 'runs', runs: [{ ...run, interval: { start: run.interval.end, end: run.interval.start } }] },
    { kind: 'runs', runs: [{ ...run, run_id: 'x'.repeat(251) }] },
    { kind: 'runs', runs: [run], more: 1 },
    { kind: 'problem', text: '' },
  ]) {
    const answer = await post(server, host, 'parse', `/timetables/${question!.id}/answer`, json);
    assert.equal(answer.status, 422, JSON.stringify(json));
  }
  for (const over of [{ slots: 0 }, { slots: 101 }, { wait_seconds: 31 }, { bundles: 'dags-folder' }])
    assert.equal((await claim(server, host, over)).status, 422, JSON.stringify(over));
  const own = await post(server, host, 'parse', `/timetables/${question!.id}/answer`, runs);
  assert.deepEqual(own.json(), { accepted: true }, 'the control');
});
