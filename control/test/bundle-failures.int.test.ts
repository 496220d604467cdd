/** A bundle that can't be read: who is told, what stays, and that its return takes it back. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BUNDLE_ITSELF, FAILING_BUNDLES_HEADER } from '@airlock/contract/bundles';
import { sql } from '@airlock/store';
import { applyBundleListing, recordBundleFailure } from '../src/runs/index.ts';
import { dagDocument, ingest } from './kit/dags.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const BUNDLE = 'dags-folder';
const at = (second: number) => `2026-06-10T09:30:0${second}.000Z`;
let kit: RestKit;
before(async () => {
  kit = await restKit();
  await kit.database.db.query(
    sql`INSERT INTO dag_bundle (name, kind, path, active) VALUES (${BUNDLE}, 'local', '/dags', true)`,
  );
});
after(() => kit[Symbol.asyncDispose]());

const fail = (text: string, second: number, bundleName = BUNDLE) =>
  recordBundleFailure(kit.database.db, { bundleName, text, nowIso: at(second) });
const list = (files: readonly string[]) =>
  kit.database.db.transaction((tx) => applyBundleListing(tx, { bundleName: BUNDLE, files, nowIso: at(9) }));
const counted = async () => Number((await kit.anonymous('GET', '/monitor/health')).headers.get(FAILING_BUNDLES_HEADER));
const shown = async () =>
  (await kit.as.viewer('GET', `/importErrors?filename=${BUNDLE_ITSELF}`)).body.import_errors.map(
    (row: Record<string, unknown>) => [row.bundle_name, row.stack_trace, row.timestamp],
  );
const dag = async () => {
  const { body } = await kit.as.viewer('GET', '/dags/d/details');
  return [body.is_stale, body.has_import_errors];
};

test('the health counts it, an import error says since when and why, its Dags stay, and a listing takes it back', async () => {
  const { db } = kit.database;
  await ingest(db, 'd.ts', [dagDocument('d', [{ id: 't' }])], at(0));
  assert.deepEqual([await counted(), await shown()], [0, []]);
  await fail('It can not be fetched.\0', 1);
  await fail('It can not be fetched.\0', 2);
  assert.deepEqual(
    [await counted(), await shown()],
    [1, [[BUNDLE, 'It can not be fetched.\uFFFD', '2026-06-10T09:30:01Z']]],
  );
  await fail('Its branch is gone.', 3);
  assert.deepEqual(await shown(), [[BUNDLE, 'Its branch is gone.', '2026-06-10T09:30:01Z']], 'since the first failure');
  assert.deepEqual(await dag(), [false, false]);
  // Reports of files that were read before say nothing about the bundle.
  await ingest(db, 'd.ts', [dagDocument('d', [{ id: 't' }, { id: 'u' }])], at(4));
  assert.equal(await counted(), 1);
  await list(['d.ts']);
  assert.deepEqual([await counted(), await shown(), await dag()], [0, [], [false, false]]);
  await fail('Gone again.', 5);
  assert.deepEqual(await shown(), [[BUNDLE, 'Gone again.', '2026-06-10T09:30:05Z']]);
  await list([]);
  assert.deepEqual([await counted(), (await dag())[0]], [0, true]);
});

test('a bundle that is out of use does not count, and nobody without a log-in learns which one fails', async () => {
  const { db } = kit.database;
  await db.query(sql`INSERT INTO dag_bundle (name, kind, path, active) VALUES ('other', 'local', '/o', true)`);
  await fail('secret-reason', 1, 'other');
  const health = await kit.anonymous('GET', '/monitor/health');
  assert.equal(health.headers.get(FAILING_BUNDLES_HEADER), '1');
  assert.doesNotMatch(health.text + JSON.stringify([...health.headers]), /other|secret-reason/);
  assert.equal((await kit.anonymous('GET', '/importErrors')).status, 401);
  assert.match((await kit.as.viewer('GET', '/importErrors')).text, /secret-reason/); // control
  await db.query(sql`UPDATE dag_bundle SET active = false WHERE name = 'other'`);
  assert.equal(await counted(), 0);
});
