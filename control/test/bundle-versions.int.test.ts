/** Bundles with versions: a run is pinned to the commit that its Dag was read at, whatever comes later; a clear may move it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { claimCallbacks } from '@airlock/store/queries/callback/claim';
import { claimQueued } from '@airlock/store/queries/task-instance/claim';
import type { DagModel } from '../src/domain/dag-model.ts';
import { applyBundleListing, clearTaskInstances, runsOnLatest } from '../src/runs/index.ts';
import { dagDocument, ingest, type TaskSpec, withBundle } from './kit/dags.ts';
import { makeWorld, type World } from './kit/world.ts';
import { restKit } from './rest-kit.ts';

const NOW = '2026-06-10T09:30:00.000Z';
const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const parse = (
  world: World,
  version: string | null,
  tasks: readonly TaskSpec[],
  over: Readonly<Record<string, unknown>> = {},
) => ingest(world.db, 'd.ts', [dagDocument('d', tasks, over)], world.clock.iso(), { bundle_version: version });
const claimAll = async (world: World) => {
  const supervisorId = randomUUID();
  await world.db.query(sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
    VALUES (${supervisorId}, ${supervisorId}, '{}', 'h', 'u', 1, '{worker}', 'none', 'x', ${world.clock.iso()}, ${world.clock.iso()})`);
  const given = { supervisorId, queues: null, jtis: ['1', '2', '3'], nowIso: world.clock.iso() };
  const [tries, callbacks] = [
    await claimQueued(world.db, given),
    await claimCallbacks(world.db, { ...given, commandQueues: [] }),
  ];
  return [...tries, ...callbacks].map((row) => [
    row.bundle_version,
    row.relative_fileloc,
    row.bundle_git?.repo_url ?? null,
  ]);
};
const runOf = async (world: World, id: number) =>
  (
    await world.db.query<{ bundle_version: string | null; version_number: number | null }>(
      sql`SELECT r.bundle_version, v.version_number FROM dag_run r LEFT JOIN dag_version v ON v.id = r.created_version_id WHERE r.id = ${id}`,
    )
  )[0]!;
const tasksOf = async (world: World, run: { id: number }) => Object.keys(await world.states(run)).sort();

test('a run of a bundle with versions keeps its commit and its tasks; one without follows the newest', async () => {
  for (const [first, second, expected] of [
    [A, B, { bundle_version: A, version_number: 1 }],
    [null, null, { bundle_version: null, version_number: null }],
  ] as const) {
    await using world = await makeWorld();
    await parse(world, first, [{ id: 't' }]);
    const run = await world.trigger('d');
    await world.settle();
    await parse(world, second, [{ id: 't' }, { id: 'u' }]);
    await world.settle();
    assert.deepEqual(await runOf(world, run.id), expected);
    assert.deepEqual(await tasksOf(world, run), first === null ? ['t', 'u'] : ['t']);
    const next = await world.trigger('d');
    assert.equal((await runOf(world, next.id)).bundle_version, second);
  }
});

test('the same Dag at another commit is no new version; runs from then on have that commit, and older ones their own', async () => {
  await using world = await makeWorld();
  await parse(world, A, [{ id: 't' }]);
  const before = await world.trigger('d');
  const answer = await parse(world, B, [{ id: 't' }]);
  assert.deepEqual(answer.dags, [{ dag_id: 'd', version_number: 1, changed: false }]);
  const after = await world.trigger('d');
  assert.deepEqual(
    [await runOf(world, before.id), await runOf(world, after.id)],
    [
      { bundle_version: A, version_number: 1 },
      { bundle_version: B, version_number: 1 },
    ],
  );
  const [bundle] = await world.db.query(sql`SELECT version FROM dag_bundle`);
  assert.deepEqual(bundle, { version: B });
});

test('a Dag that turns versions off for itself is not pinned', async () => {
  await using world = await makeWorld();
  await parse(world, A, [{ id: 't' }], { disable_bundle_versioning: true });
  assert.deepEqual(await runOf(world, (await world.trigger('d')).id), { bundle_version: null, version_number: null });
});

test('a clear leaves a run at its commit; one that asks for the latest version moves it', async () => {
  await using world = await makeWorld();
  await parse(world, A, [{ id: 't' }]);
  const run = await world.trigger('d');
  await world.work();
  await parse(world, B, [{ id: 't', retries: 2 }]);
  const clear = (runOnLatestVersion: boolean) =>
    world.db.transaction((tx) =>
      clearTaskInstances(tx, { dagId: 'd', dagRunIds: [run.id], runOnLatestVersion, nowIso: world.clock.iso() }),
    );
  await clear(false);
  assert.deepEqual(await runOf(world, run.id), { bundle_version: A, version_number: 1 });
  await clear(true);
  assert.deepEqual(await runOf(world, run.id), { bundle_version: B, version_number: 2 });
});

test('a Dag that has moved to another file: a pinned run and its callbacks load the file of their commit, any other the new one', async () => {
  for (const [first, second, file] of [
    [A, B, 'd.ts'],
    [null, null, 'moved.ts'],
  ] as const) {
    await using world = await makeWorld();
    const { db } = world;
    const git =
      first === null ? null : { repo_url: 'file:///r', tracking_ref: 'main', subdir: null, refresh_seconds: 60 };
    if (git) await db.query(sql`UPDATE dag_bundle SET kind = 'git', path = '', git = ${JSON.stringify(git)}::json`);
    await parse(world, first, [{ id: 't' }]);
    const run = await world.trigger('d');
    await world.settle();
    const document = dagDocument('d', [{ id: 't' }]);
    const nowIso = world.clock.iso();
    await db.transaction((tx) => applyBundleListing(tx, { bundleName: 'dags-folder', files: ['moved.ts'], nowIso }));
    const answer = await ingest(db, 'moved.ts', [document], nowIso, { bundle_version: second });
    assert.equal(answer.import_error, null);
    await db.query(sql`INSERT INTO callback (id, kind, event, dag_id, dag_run_id, dag_version_id, queue, reason, state, created_at)
      SELECT ${randomUUID()}, 'dag', 'failure', 'd', ${run.id}, dag_version_id, queue, 'x', 'pending', ${nowIso} FROM task_instance WHERE dag_run_id = ${run.id}`);
    const expected = [first, file, git?.repo_url ?? null];
    assert.deepEqual(await claimAll(world), [expected, expected]);
    // The control: a run that is made now.
    await world.trigger('d');
    await world.settle();
    assert.deepEqual(await claimAll(world), [[second, 'moved.ts', git?.repo_url ?? null]]);
  }
});

test('a commit that comes while a callback waits does not change whose code it runs', async () => {
  await using world = await makeWorld();
  await parse(world, A, [{ id: 't' }]);
  const run = await world.trigger('d');
  await world.settle();
  await parse(world, B, [{ id: 't' }]);
  await world.db.query(sql`INSERT INTO callback (id, kind, event, dag_id, dag_run_id, dag_version_id, queue, reason, state, created_at)
    SELECT ${randomUUID()}, 'dag', 'failure', 'd', ${run.id}, dag_version_id, queue, 'x', 'pending', ${world.clock.iso()} FROM task_instance WHERE dag_run_id = ${run.id}`);
  assert.deepEqual(
    (await claimAll(world)).map(([version]) => version),
    [A, A],
  );
});

test('who asks says whether the newest version counts, then the Dag, then the configuration, then what is done again', () => {
  const dag = (says: boolean | null) => ({ rerunWithLatestVersion: says }) as DagModel;
  for (const otherwise of [true, false]) {
    for (const configured of [true, false, null]) {
      for (const said of [true, false, null]) {
        for (const asked of [true, false, null, undefined])
          assert.equal(
            runsOnLatest(asked, dag(said), configured, otherwise),
            [asked, said, configured, otherwise].find((one) => one !== null && one !== undefined),
          );
      }
    }
  }
});

for (const [configured, said, asked, expected] of [
  [null, null, null, A],
  ['true', null, null, B],
  ['true', false, null, A],
  [null, true, null, B],
  [null, true, false, A],
] as const) {
  test(`a clear over HTTP: configuration ${configured}, Dag ${said}, request ${asked}`, async () => {
    await using kit = await restKit({
      config: configured === null ? {} : { AIRLOCK__CORE__RERUN_WITH_LATEST_VERSION: configured },
    });
    const { db } = kit.database;
    await withBundle(db);
    const read = (version: string, tasks: readonly TaskSpec[]) =>
      ingest(db, 'd.ts', [dagDocument('d', tasks, said === null ? {} : { rerun_with_latest_version: said })], NOW, {
        bundle_version: version,
      });
    await read(A, [{ id: 't' }]);
    const run = await kit.as.admin('POST', '/dags/d/dagRuns', { dag_run_id: 'r', logical_date: null });
    assert.equal(run.status, 200, run.text);
    await db.query(sql`UPDATE dag_run SET state = 'failed'`);
    await db.query(sql`UPDATE task_instance SET state = 'failed', try_number = 1 WHERE dag_id = 'd'`);
    await read(B, [{ id: 't', retries: 1 }]);
    const cleared = await kit.as.admin('POST', '/dags/d/dagRuns/r/clear', {
      dry_run: false,
      run_on_latest_version: asked,
    });
    assert.deepEqual([cleared.status, cleared.body.bundle_version], [200, expected], cleared.text);
  });
}
