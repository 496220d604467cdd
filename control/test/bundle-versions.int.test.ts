/** Bundles with versions: a run is pinned to the commit that its Dag was read at, whatever comes later; a clear may move it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { clearTaskInstances } from '../src/runs/index.ts';
import { dagDocument, ingest, type TaskSpec } from './kit/dags.ts';
import { makeWorld, type World } from './kit/world.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const parse = (
  world: World,
  version: string | null,
  tasks: readonly TaskSpec[],
  over: Readonly<Record<string, unknown>> = {},
) => ingest(world.db, 'd.ts', [dagDocument('d', tasks, over)], world.clock.iso(), { bundle_version: version });
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
