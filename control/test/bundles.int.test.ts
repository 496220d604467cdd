/** Bundle rows from the configuration, and what the examples bring. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import { sql } from '@airlock/store';
import { testDatabase } from '../../tests/kit/database.ts';
import { createSecretBox } from '../src/api/secrets/index.ts';
import { readConnection, readVariable } from '../src/api/secrets/stored.ts';
import { configuredBundles, prepareBundles } from '../src/bundles.ts';
import { createDagRun, ingestParseReport, recordBundleFailure } from '../src/runs/index.ts';
import { DEFAULTS, dagDocument, ingest, reportOf } from './kit/dags.ts';

const configOf = (env: Record<string, string> = {}) =>
  resolveConfig({ env: { AIRLOCK__CORE__DAGS_FOLDER: '/home/dags', ...env }, ini: {}, expand: (text) => text });
const listed = (value: unknown) => configOf({ AIRLOCK__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: JSON.stringify(value) });
const NOW = '2026-06-10T09:30:00.000Z';
const HOURLY = {
  __type: 'airflow.timetables.trigger.CronTriggerTimetable',
  __var: { expression: '0 * * * *', timezone: 'UTC', interval: 0, run_immediately: false },
};
const local = 'airflow.dag_processing.bundles.local.LocalDagBundle';

test('without a list there is the Dag folder, and the examples when they are shown', () => {
  assert.deepEqual(configuredBundles(configOf(), '/ex'), [
    { name: 'dags-folder', path: '/home/dags', git: null, team: null },
    { name: 'airlock-examples', path: '/ex', git: null, team: null },
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
    { name: 'a', path: '/a', git: null, team: null },
    { name: 'b', path: '/home/dags', git: null, team: null },
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
    prepareBundles(db, { config: configOf(env), examplesDir: '/ex', outputDir: '/home/output', secrets, nowIso: NOW });
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
  const options = { examplesDir: null, outputDir: '/o', secrets, nowIso: NOW };
  await prepareBundles(db, {
    ...options,
    config: listed([{ name: 'old', classpath: local, kwargs: { path: '/old' } }]),
  });
  const report = (bundleName: string, dagId: string) =>
    db.transaction((tx) =>
      ingestParseReport(tx, {
        bundleName,
        report: reportOf(`${dagId}.ts`, [dagDocument(dagId, [{ id: 't' }], { timetable: HOURLY, start_date: 0 })]),
        nowIso: NOW,
        defaults: DEFAULTS,
      }),
    );
  await report('old', 'gone');
  const failing = { text: 'gone', nowIso: NOW };
  await recordBundleFailure(db, { bundleName: 'old', ...failing });
  await prepareBundles(db, { ...options, config: configOf() });
  await recordBundleFailure(db, { bundleName: 'dags-folder', ...failing });
  await prepareBundles(db, { ...options, config: configOf() });
  const errors = await db.query(sql`SELECT bundle_name FROM import_error`);
  assert.deepEqual(errors, [{ bundle_name: 'dags-folder' }], 'import errors go with their bundle, and with it alone');
  await report('dags-folder', 'stays');
  await prepareBundles(db, { ...options, config: configOf() });
  assert.deepEqual(
    await db.query(sql`SELECT dag_id, is_stale, next_create_after IS NULL AS ended FROM dag ORDER BY dag_id`),
    [
      { dag_id: 'gone', is_stale: true, ended: true },
      { dag_id: 'stays', is_stale: false, ended: false },
    ],
  );
  assert.deepEqual(await db.query(sql`SELECT dag_id FROM event_log WHERE event = 'dag_gone'`), [{ dag_id: 'gone' }]);
  const rows = await db.query(sql`SELECT name, path, active FROM dag_bundle ORDER BY name`);
  assert.deepEqual(rows, [
    { name: 'dags-folder', path: '/home/dags', active: true },
    { name: 'old', path: '/old', active: false },
  ]);
});

const withTeam = (team: unknown, multiTeam = 'true') =>
  configOf({
    AIRLOCK__CORE__MULTI_TEAM: multiTeam,
    AIRLOCK__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: JSON.stringify([
      { name: 'dags-folder', classpath: local, kwargs: {}, ...(team === undefined ? {} : { team_name: team }) },
    ]),
  });

test('a bundle is mapped to a team by its team_name, only where teams are on and only to a name of a team', () => {
  assert.equal(configuredBundles(withTeam('a-team'), null)[0]!.team, 'a-team');
  assert.equal(configuredBundles(withTeam(null, 'false'), null)[0]!.team, null);
  assert.throws(() => configuredBundles(withTeam('a-team', 'false'), null), /multi_team is off/);
  for (const bad of ['', 'with space', 'x'.repeat(51), 7, ['a']]) {
    assert.throws(() => configuredBundles(withTeam(bad), null), { code: 'CONFIG_INVALID' }, JSON.stringify(bad));
  }
});

test('Dags, runs and task instances follow their bundle into a team and out of it; the team is made and recorded', async () => {
  await using test = await testDatabase();
  const { db } = test;
  const options = { examplesDir: null, outputDir: '/o', secrets: createSecretBox(null), nowIso: NOW };
  await prepareBundles(db, { ...options, config: withTeam(undefined) });
  await ingest(db, 'd.ts', [dagDocument('d', [{ id: 'x' }])], NOW);
  await db.transaction((tx) =>
    createDagRun(tx, {
      dagId: 'd',
      runType: 'manual',
      triggeredBy: 'cli',
      triggeringUserName: null,
      logicalDate: null,
      nowIso: NOW,
    }),
  );
  const teams = async () => {
    const rows = await db.query<{ team: string | null }>(
      sql`SELECT team FROM dag UNION ALL SELECT team FROM dag_run UNION ALL SELECT team FROM task_instance`,
    );
    return rows.map((row) => row.team);
  };
  assert.deepEqual(await teams(), [null, null, null]);
  await prepareBundles(db, { ...options, config: withTeam('one') });
  assert.deepEqual(await teams(), ['one', 'one', 'one']);
  await prepareBundles(db, { ...options, config: withTeam('two') });
  assert.deepEqual(await teams(), ['two', 'two', 'two']);
  await prepareBundles(db, { ...options, config: withTeam('two') });
  const made = await db.query<{ extra: string }>(
    sql`SELECT extra FROM event_log WHERE event = 'create_team' ORDER BY id`,
  );
  assert.deepEqual(
    made.map((row) => JSON.parse(row.extra).name),
    ['one', 'two'],
  );
});

test('a Dag id with its runs is not taken over by another team, not even when its file is gone', async () => {
  await using test = await testDatabase();
  const { db } = test;
  await db.query(sql`INSERT INTO team (name) VALUES ('a'), ('b')`);
  await db.query(
    sql`INSERT INTO dag_bundle (name, kind, path, team)
      VALUES ('of-a', 'local', '/a', 'a'), ('also-a', 'local', '/a2', 'a'), ('of-b', 'local', '/b', 'b'), ('shared', 'local', '/s', NULL)`,
  );
  const report = (bundleName: string, dagIds: readonly string[]) =>
    db.transaction((tx) =>
      ingestParseReport(tx, {
        bundleName,
        report: reportOf(
          'file.ts',
          dagIds.map((id) => dagDocument(id, [{ id: 'x' }])),
        ),
        nowIso: NOW,
        defaults: DEFAULTS,
      }),
    );
  assert.deepEqual((await report('of-a', ['d'])).import_error, null);
  for (const phase of ['while it is there', 'when its file is gone']) {
    for (const bundle of ['of-b', 'shared']) {
      const answer = await report(bundle, ['d', `own-${bundle}`]);
      assert.match(answer.import_error ?? '', /The Dag id "d" belongs to another team/, phase);
      assert.doesNotMatch(answer.import_error ?? '', /of-a/, 'names nothing of the other team');
      assert.deepEqual(
        answer.dags.map((dag) => dag.dag_id),
        [`own-${bundle}`],
      );
    }
    await report('of-a', []);
  }
  // Control: another bundle of the same team may have the id then.
  const answer = await report('also-a', ['d']);
  assert.deepEqual([answer.import_error, answer.dags.length], [null, 1]);
});
