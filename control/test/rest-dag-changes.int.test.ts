/** Dags over the API: delete, star, parse again. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { raw, sql } from '@airlock/store';
import { listBundles } from '@airlock/store/queries/supervisor/bundles';
import { createLogStore } from '../src/logs/log-store.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let viewer: Caller;
const db = () => kit.database.db;
const NOW = '2026-06-10T09:30:00.000Z';

const load = (file: string, ...dags: string[]) =>
  ingest(
    db(),
    file,
    dags.map((id) => dagDocument(id, [{ id: 'a' }, { id: 'b', after: ['a'] }], { tags: ['t'] })),
    NOW,
  );
const knownFiles = async () => (await listBundles(db(), null))[0]!.files;
const tokenOf = async (dag: string) => (await viewer('GET', `/dags/${dag}`)).body.file_token as string;

before(async () => {
  kit = await restKit();
  ({ user, viewer } = kit.as);
  await withBundle(db());
  await load('gone.ts', 'gone', 'beside');
  await load('star.ts', 'star');
});
after(() => kit[Symbol.asyncDispose]());

test('a deleted Dag goes with its runs, versions, tags, stars and logs; its neighbour and the audit log stay', async () => {
  for (const dag of ['gone', 'beside']) {
    const run = await user('POST', `/dags/${dag}/dagRuns`, { logical_date: null, dag_run_id: 'r' });
    assert.equal(run.status, 200);
    assert.equal((await viewer('POST', `/dags/${dag}/favorite`)).status, 204);
    const logs = createLogStore({ root: kit.logFolder, maxBytes: 1000 });
    const ref = { dagId: dag, runId: 'r', taskId: 'a', mapIndex: -1, tryNumber: 1 };
    await logs.append(ref, { base: 0, offset: 0 }, Buffer.from('line\n'));
  }
  const answer = await user('DELETE', '/dags/gone');
  assert.deepEqual([answer.status, answer.text], [204, '']);
  assert.deepEqual(await viewer('GET', '/dags/gone').then(({ status }) => status), 404);
  for (const table of ['dag_run', 'task_instance', 'dag_version', 'dag_tag', 'dag_favorite']) {
    const rows = await db().query<{ dag_id: string }>(
      sql`SELECT DISTINCT dag_id FROM ${raw(table)} WHERE dag_id IN ('gone', 'beside')`,
    );
    assert.deepEqual(rows, [{ dag_id: 'beside' }], table);
  }
  assert.equal(existsSync(join(kit.logFolder, 'dag_id=gone', 'run_id=r')), false);
  assert.equal(existsSync(join(kit.logFolder, 'dag_id=beside', 'run_id=r')), true);
  const { event_logs: events } = (await viewer('GET', '/eventLogs?dag_id=gone&order_by=-id')).body;
  assert.deepEqual([events[0].event, events[0].owner], ['delete_dag', 'user']);
  assert.ok(events.some((event: { event: string }) => event.event === 'trigger_dag_run'));
  assert.equal((await user('DELETE', '/dags/gone')).status, 404);
});

test('a deleted Dag comes back when its file is parsed, which is due at once', async () => {
  await load('back.ts', 'back');
  assert.ok((await knownFiles())['back.ts']);
  assert.equal((await user('DELETE', '/dags/back')).status, 204);
  assert.equal((await knownFiles())['back.ts'], undefined);
  await load('back.ts', 'back');
  assert.equal((await viewer('GET', '/dags/back')).body.dag_id, 'back');
});

test('a Dag with a task that runs is not deleted; once it has ended, it is', async () => {
  await load('busy.ts', 'busy');
  await user('POST', '/dags/busy/dagRuns', { logical_date: null, dag_run_id: 'r' });
  const setState = (state: string) =>
    db().query(sql`UPDATE task_instance SET state = ${state} WHERE dag_id = 'busy' AND task_id = 'a'`);
  for (const state of ['running', 'restarting']) {
    await setState(state);
    const refused = await user('DELETE', '/dags/busy');
    assert.deepEqual(
      [refused.status, refused.body],
      [409, { detail: "Task instances of dag with id: 'busy' are still running" }],
    );
    assert.equal((await viewer('GET', '/dags/busy/dagRuns/r')).status, 200);
  }
  await setState('queued');
  assert.equal((await user('DELETE', '/dags/busy')).status, 204);
});

test('a star is a user’s own, is given once and taken once', async () => {
  const starred = async (caller: Caller) => [
    (await caller('GET', '/dags/star/details')).body.is_favorite,
    (await caller('GET', '/dags?is_favorite=true&dag_id_pattern=star')).body.total_entries,
  ];
  assert.deepEqual(await starred(viewer), [false, 0]);
  assert.equal((await viewer('POST', '/dags/star/favorite')).status, 204);
  assert.deepEqual(await starred(viewer), [true, 1]);
  assert.deepEqual(await starred(user), [false, 0]);
  const again = await viewer('POST', '/dags/star/favorite');
  assert.deepEqual([again.status, again.body.detail.reason], [409, 'Unique constraint violation']);
  assert.equal((await viewer('POST', '/dags/star/unfavorite')).status, 204);
  const none = await viewer('POST', '/dags/star/unfavorite');
  assert.deepEqual([none.status, none.body], [409, { detail: 'Dag is not marked as favorite' }]);
  for (const verb of ['favorite', 'unfavorite']) {
    const absent = await viewer('POST', `/dags/absent/${verb}`);
    assert.deepEqual([absent.status, absent.body], [404, { detail: "Dag with id 'absent' not found" }]);
  }
});

test('a file is parsed again on request, once per parse', async () => {
  await load('again.ts', 'again1', 'again2');
  const token = await tokenOf('again1');
  assert.equal(token, await tokenOf('again2'));
  const first = await user('PUT', `/parseDagFile/${token}`);
  assert.deepEqual([first.status, first.body], [201, null]);
  assert.equal((await knownFiles())['again.ts'], undefined);
  const second = await user('PUT', `/parseDagFile/${token}`);
  assert.deepEqual([second.status, second.body.detail.reason], [409, 'Unique constraint violation']);
  await load('again.ts', 'again1', 'again2');
  assert.equal((await user('PUT', `/parseDagFile/${token}`)).status, 201);
  for (const wrong of ['bogus', `${token.slice(0, -2)}AA`, `${token}A`, '%00']) {
    const answer = await user('PUT', `/parseDagFile/${wrong}`);
    assert.deepEqual([answer.status, answer.body], [404, { detail: 'File not found' }], wrong);
  }
});
