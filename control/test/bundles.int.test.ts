/** Bundle rows from the configuration, and what the examples bring. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import { sql } from '@airlock/store';
import { testDatabase } from '../../tests/kit/database.ts';
import { createSecretBox } from '../src/api/secrets/index.ts';
import { readConnection, readVariable } from '../src/api/secrets/stored.ts';
import { configuredBundles, prepareBundles } from '../src/bundles.ts';

const configOf = (env: Record<string, string> = {}) =>
  resolveConfig({ env: { AIRLOCK__CORE__DAGS_FOLDER: '/home/dags', ...env }, ini: {}, expand: (text) => text });
const listed = (value: unknown) => configOf({ AIRLOCK__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: JSON.stringify(value) });
const local = 'airflow.dag_processing.bundles.local.LocalDagBundle';

test('without a list there is the Dag folder, and the examples when they are shown', () => {
  assert.deepEqual(configuredBundles(configOf(), '/ex'), [
    { name: 'dags-folder', path: '/home/dags' },
    { name: 'airlock-examples', path: '/ex' },
  ]);
  assert.equal(configuredBundles(configOf({ AIRLOCK__CORE__LOAD_EXAMPLES: 'false' }), '/ex').length, 1);
  assert.equal(configuredBundles(configOf(), null).length, 1);
});

test('a list is taken as it is, and a broken one is refused in words', () => {
  const good = [
    { name: 'a', classpath: local, kwargs: { path: '/a' } },
    { name: 'b', classpath: local, kwargs: {} },
  ];
  assert.deepEqual(configuredBundles(listed(good), null), [
    { name: 'a', path: '/a' },
    { name: 'b', path: '/home/dags' },
  ]);
  const bad = [
    {},
    [],
    [{}],
    [{ name: 'a' }],
    [{ name: 'a', classpath: 'x.GitDagBundle', kwargs: {} }],
    [{ name: 'a', classpath: local, kwargs: { path: 'relative' } }],
    [good[0], good[0]],
  ];
  for (const value of bad)
    assert.throws(() => configuredBundles(listed(value), null), { code: 'CONFIG_INVALID' }, JSON.stringify(value));
});

test('the examples bring their variable, connection and pool once, and never overwrite', async () => {
  await using test = await testDatabase();
  const { db } = test;
  const secrets = createSecretBox(Buffer.alloc(32, 1).toString('base64url'));
  const prepare = (env: Record<string, string> = {}) =>
    prepareBundles(db, { config: configOf(env), examplesDir: '/ex', outputDir: '/home/output', secrets });
  await prepare({ AIRLOCK__CORE__LOAD_EXAMPLES: 'false' });
  assert.equal(await readVariable(db, secrets, { team: null, key: 'weather_region' }), null);
  await Promise.all([prepare(), prepare()]); // two processes that start together
  assert.ok((await readVariable(db, secrets, { team: null, key: 'weather_region' }))?.val);
  const output = await readConnection(db, secrets, { team: null, connId: 'weather_output' });
  assert.deepEqual([output?.conn_type, JSON.parse(output!.extra!)], ['fs', { path: '/home/output' }]);
  await db.query(sql`DELETE FROM variable`);
  await db.query(sql`UPDATE slot_pool SET slots = 1 WHERE name = 'weather'`);
  await prepare();
  assert.equal(await readVariable(db, secrets, { team: null, key: 'weather_region' }), null);
  const [pool] = await db.query<{ slots: number }>(sql`SELECT slots FROM slot_pool WHERE name = 'weather'`);
  assert.equal(pool!.slots, 1);
});

test('a bundle that is no longer configured is out of use, and its Dags are stale', async () => {
  await using test = await testDatabase();
  const { db } = test;
  const secrets = createSecretBox(null);
  const options = { examplesDir: null, outputDir: '/o', secrets };
  await prepareBundles(db, {
    ...options,
    config: listed([{ name: 'old', classpath: local, kwargs: { path: '/old' } }]),
  });
  await prepareBundles(db, { ...options, config: configOf() });
  const rows = await db.query(sql`SELECT name, path, active FROM dag_bundle ORDER BY name`);
  assert.deepEqual(rows, [
    { name: 'dags-folder', path: '/home/dags', active: true },
    { name: 'old', path: '/old', active: false },
  ]);
});
