import { deepEqual, equal, match, notEqual, rejects } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type Database, sql } from '@airlock/store';
import { waitFor } from '../../tests/kit/wait.ts';
import { applyBundleListing, ingestParseReport } from '../src/runs/index.ts';
import { DEFAULTS, dagDocument, ingest, reportOf } from './kit/dags.ts';
import { makeWorld } from './kit/world.ts';

type DagRow = {
  is_stale: boolean;
  is_paused: boolean;
  has_import_errors: boolean;
  relative_fileloc: string;
  current_version_id: string;
  next_create_after: string | null;
  owners: string;
};
const dagRow = async (db: Database, dagId: string) =>
  (await db.query<DagRow>(sql`SELECT * FROM dag WHERE dag_id = ${dagId}`))[0];
const versions = (db: Database, dagId: string) =>
  db.query<{ id: string; version_number: number; source: string }>(
    sql`SELECT * FROM dag_version WHERE dag_id = ${dagId} ORDER BY version_number`,
  );
const importError = async (db: Database, file: string) =>
  (await db.query<{ stack_trace: string }>(sql`SELECT * FROM import_error WHERE filename = ${file}`))[0]?.stack_trace ??
  null;
const schedulerEvents = async (db: Database, work: () => Promise<unknown>) => {
  const seen: string[] = [];
  const stop = await db.listen(
    'airlock',
    (payload) => seen.push(payload),
    () => undefined,
  );
  await work();
  // Notifications come in the order of their commits: once the last one is here, so are all before it.
  await db.query(sql`SELECT pg_notify('airlock', 'end')`);
  await waitFor('the last notification', () => seen.at(-1) === 'end');
  await stop();
  // Every change has an audit row, which wakes the one who links them; that is not the scheduler's.
  return seen.filter((payload) => payload !== 'end' && payload !== 'audit');
};

const moduleOf = (code: string) => ({ hash: createHash('sha256').update(code).digest('hex'), code });

test('parsing again never makes a new version; a change does, once a run has used the old one', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  const first = await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }])], clock.iso());
  deepEqual(first, { dags: [{ dag_id: 'a', version_number: 1, changed: true }], import_error: null });
  const again = await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }])], clock.iso());
  deepEqual(again.dags, [{ dag_id: 'a', version_number: 1, changed: false }]);
  equal((await versions(db, 'a')).length, 1);

  // Nothing has used version 1: an edit replaces it, under its number but not under its id.
  const [before] = await versions(db, 'a');
  const edited = await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }, { id: 'u' }])], clock.iso());
  deepEqual(edited.dags, [{ dag_id: 'a', version_number: 1, changed: true }]);
  const [after] = await versions(db, 'a');
  notEqual(after?.id, before?.id);

  await world.trigger('a');
  const next = await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }])], clock.iso());
  deepEqual(next.dags, [{ dag_id: 'a', version_number: 2, changed: true }]);
  equal((await versions(db, 'a')).length, 2);
});

test('a change in the code alone makes a version; a change in its comments alone only refreshes the source', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }])], clock.iso());
  await world.trigger('a');
  const commented = await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }])], clock.iso(), { source: '// why' });
  equal(commented.dags[0]?.changed, false);
  equal((await versions(db, 'a'))[0]?.source, '// why');
  const module = moduleOf('export default 2');
  const changed = await ingest(db, 'a.ts', [dagDocument('a', [{ id: 't' }])], clock.iso(), { module });
  deepEqual(changed.dags, [{ dag_id: 'a', version_number: 2, changed: true }]);
});

test('a Dag id in two files is an import error that names both, and the first file keeps it', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  await ingest(db, 'first.ts', [dagDocument('same', [{ id: 't' }])], clock.iso());
  const second = await ingest(
    db,
    'second.ts',
    [dagDocument('same', [{ id: 'other' }]), dagDocument('own', [{ id: 't' }])],
    clock.iso(),
  );
  match(second.import_error ?? '', /"same" is used by two files: first\.ts .* keeps it, and second\.ts/);
  deepEqual(
    second.dags.map((dag) => dag.dag_id),
    ['own'],
  );
  equal((await dagRow(db, 'same'))?.relative_fileloc, 'first.ts');
  match((await importError(db, 'second.ts')) ?? '', /first\.ts/);
  // The two never alternate: parsing the first again leaves everything as it is.
  equal((await ingest(db, 'first.ts', [dagDocument('same', [{ id: 't' }])], clock.iso())).dags[0]?.changed, false);

  // When the first file gives the id up, the second may have it.
  await ingest(db, 'first.ts', [], clock.iso());
  const taken = await ingest(db, 'second.ts', [dagDocument('same', [{ id: 'other' }])], clock.iso());
  equal(taken.import_error, null);
  deepEqual((({ relative_fileloc, is_stale }) => ({ relative_fileloc, is_stale }))((await dagRow(db, 'same'))!), {
    relative_fileloc: 'second.ts',
    is_stale: false,
  });
});

test('the same id twice in one file is refused, and so is a bad Dag beside a good one', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  const twice = await ingest(db, 'a.ts', [dagDocument('a', []), dagDocument('a', [{ id: 't' }])], clock.iso());
  match(twice.import_error ?? '', /two Dags with the id "a"/);
  const mixed = await ingest(
    db,
    'b.ts',
    [dagDocument('good', []), dagDocument('bad', [{ id: 'a', after: ['a'] }])],
    clock.iso(),
  );
  deepEqual(
    mixed.dags.map((dag) => dag.dag_id),
    ['good'],
  );
  match(mixed.import_error ?? '', /^b\.ts: Dag "bad" has a cycle: a → a/);
});

test('a file that breaks leaves its Dag on the last good version: no new runs, but the running one goes on', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }]);
  const run = await world.trigger('a');
  await world.settle();
  const broken = await ingest(db, 'a.ts', [], clock.iso(), { import_error: 'a.ts:3:1 Unexpected token', module: null });
  equal(broken.import_error, 'a.ts:3:1 Unexpected token');
  deepEqual((({ has_import_errors, is_stale }) => ({ has_import_errors, is_stale }))((await dagRow(db, 'a'))!), {
    has_import_errors: true,
    is_stale: false,
  });
  await rejects(world.trigger('a'), {
    code: 'BAD_REQUEST',
    message: "Dag with dag_id: 'a' has import errors and cannot be triggered",
  });
  equal(await world.work(), 2);
  equal((await world.run(run)).state, 'success');

  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }]);
  equal((await dagRow(db, 'a'))?.has_import_errors, false);
  equal(await importError(db, 'a.ts'), null);
  await world.trigger('a');
});

test('a Dag that left its file, or whose file is gone, is stale; seen again it is back with its pause state', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  await world.dag('a', [{ id: 't' }]);
  await db.query(sql`UPDATE dag SET is_paused = true WHERE dag_id = 'a'`);
  await ingest(db, 'a.ts', [], clock.iso());
  equal((await dagRow(db, 'a'))?.is_stale, true);
  await rejects(world.trigger('a'), { code: 'NOT_FOUND', message: "Dag with dag_id: 'a' not found" });
  await world.dag('a', [{ id: 't' }]);
  deepEqual((({ is_paused, is_stale }) => ({ is_paused, is_stale }))((await dagRow(db, 'a'))!), {
    is_paused: true,
    is_stale: false,
  });

  const list = (files: string[]) =>
    db.transaction((tx) => applyBundleListing(tx, { bundleName: 'dags-folder', files, nowIso: clock.iso() }));
  deepEqual(await list(['a.ts']), []);
  await ingest(db, 'broken.ts', [], clock.iso(), { import_error: 'boom' });
  deepEqual(await list(['other.ts']), ['a']);
  equal((await dagRow(db, 'a'))?.is_stale, true);
  equal(await importError(db, 'broken.ts'), null);
});

test('a document can’t choose the file that its tasks are loaded from', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  await ingest(db, 'mine.ts', [dagDocument('a', [], { relative_fileloc: '../theirs.ts' })], clock.iso());
  equal((await dagRow(db, 'a'))?.relative_fileloc, 'mine.ts');
  const rows = await db.query<{ document: { dag: { relative_fileloc: string } } }>(
    sql`SELECT document FROM dag_version`,
  );
  equal(rows[0]?.document.dag.relative_fileloc, 'mine.ts');
});

test('an unknown bundle is refused', async () => {
  await using world = await makeWorld();
  const report = reportOf('a.ts', []);
  await rejects(
    world.db.transaction((tx) =>
      ingestParseReport(tx, { bundleName: 'nope', report, nowIso: world.clock.iso(), defaults: DEFAULTS }),
    ),
    { code: 'NOT_FOUND' },
  );
});

test('two files that claim one id at the same moment: exactly one gets it', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  const answers = await Promise.all(
    ['x.ts', 'y.ts', 'z.ts'].map((file) => ingest(db, file, [dagDocument('same', [{ id: 't' }])], clock.iso())),
  );
  equal(answers.filter((answer) => answer.import_error === null).length, 1);
});

test('a running run of a bundle without versions moves on to the new version of its Dag', async () => {
  await using world = await makeWorld();
  const { db } = world;
  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t] = await world.take();
  const events = await schedulerEvents(db, () => world.dag('a', [{ id: 't' }, { id: 'v', after: ['t'] }]));
  deepEqual(events.toSorted(), [`run ${run.id}`, 'schedule']);
  await world.succeed(t!);
  await world.settle();
  deepEqual(await world.states(run), { t: 'success', u: 'removed', v: 'queued' });
  const rows = await world.tis(run);
  const newest = (await versions(db, 'a')).at(-1)?.id;
  equal(rows.find((ti) => ti.task_id === 'v')?.dag_version_id, newest);
});

test('a path that leaves the bundle, a module with another hash, and a NUL character are refused', async () => {
  await using world = await makeWorld();
  const { db, clock } = world;
  const report = (file: string, over: object = {}) =>
    ingest(db, file, [dagDocument('a', [{ id: 't' }])], clock.iso(), over);
  for (const path of ['../a.ts', '/etc/a.ts', 'x/../../a.ts', './a.ts', 'a//b.ts', 'a\0.ts']) {
    await rejects(report(path), { code: 'DAG_INVALID', message: /no path inside a bundle/ }, path);
  }
  const module = { ...moduleOf('export default 1'), code: 'export default evil' };
  await rejects(report('a.ts', { module }), { code: 'DAG_INVALID', message: /hash/ });
  const nul = await ingest(db, 'a.ts', [dagDocument('a', [], { doc_md: 'x\0y' })], clock.iso());
  match(nul.import_error ?? '', /NUL/);
  equal((await db.query(sql`SELECT 1 FROM dag_module`)).length, 0);
  // The same report without the one change is taken, also with a NUL where it can be shown as something else.
  const taken = await report('sub/a.ts', { source: 'x\0y', module: moduleOf('export default 1') });
  deepEqual(taken.import_error, null);
});

test('edits that meet the scheduler at the same moment leave a run that goes on, and no error', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t] = await world.take();
  const other = world.newCore();
  for (let i = 0; i < 40; i++) {
    // Each edit replaces a version that the pass beside it may just be moving the run to.
    world.core.agenda.mark(run.id);
    other.agenda.mark(run.id);
    await Promise.all([
      world.dag('a', [{ id: 't' }, { id: `u${i}`, after: ['t'] }]),
      world.core.settle(),
      other.settle(),
    ]);
  }
  await world.succeed(t!);
  await world.work();
  const states = await world.states(run);
  deepEqual([states.t, states.u39, (await world.run(run)).state], ['success', 'success', 'success']);
});

test('the assets of parsed Dags are known, active while a live Dag names them, and follow what the file says', async () => {
  await using world = await makeWorld();
  const outlet = (name: string, extra: object = {}) => ({
    __type: 'asset',
    __var: { name, uri: `s3://${name}`, group: 'asset', extra },
  });
  const assets = async () =>
    Object.fromEntries(
      (
        await world.db.query<{ name: string; active: boolean; extra: object }>(
          sql`SELECT name, active, extra FROM asset`,
        )
      ).map((row) => [row.name, [row.active, row.extra]]),
    );
  await world.dag('a', [{ id: 't', outlets: [outlet('orders'), outlet('refunds')] }]);
  deepEqual(await assets(), { orders: [true, {}], refunds: [true, {}] });
  await world.dag('a', [{ id: 't', outlets: [outlet('orders', { tier: 'gold' })] }]);
  deepEqual(await assets(), { orders: [true, { tier: 'gold' }], refunds: [false, {}] });
  await world.db.transaction((tx) =>
    applyBundleListing(tx, { bundleName: 'dags-folder', files: [], nowIso: world.clock.iso() }),
  );
  deepEqual(await assets(), { orders: [false, { tier: 'gold' }], refunds: [false, {}] });
  await rejects(world.dag('b', [{ id: 't', outlets: [{ __type: 'asset', __var: { name: 'x' } }] }]), /without a uri/);
});
