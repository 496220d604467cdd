import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import type { DagDocument } from '@airlock/contract/dag/document';
import { readAssetUses } from './assets.ts';

const sample = (name: string): DagDocument =>
  JSON.parse(readFileSync(new URL(`../../test/data/serialized-dags/${name}.json`, import.meta.url), 'utf8'));
const named = (name: string) =>
  readAssetUses(sample(name)).map((use) => {
    const what = use.kind === 'uri' ? use.uri : use.kind === 'asset' ? `${use.name} ${use.uri}` : use.name;
    return `${use.role} ${use.taskId} ${use.kind} ${what}`;
  });

test('every form in which Airflow writes an asset is found, in schedules and in tasks', () => {
  assert.deepEqual(named('assets_single'), ['schedule  asset orders s3://lake/orders']);
  assert.deepEqual(named('assets_refs'), ['schedule  name orders', 'schedule  uri s3://lake/refunds']);
  assert.deepEqual(named('assets_alias'), ['schedule  alias late_bound']);
  assert.deepEqual(named('assets_or_time'), [
    'schedule  asset orders s3://lake/orders',
    'schedule  asset refunds s3://lake/refunds',
  ]);
  assert.equal(named('assets_all_any').length, 3);
  assert.deepEqual(named('assets_producer'), [
    'outlet marker asset stock s3://lake/stock',
    'inlet produce asset refunds s3://lake/refunds',
    'outlet produce asset orders s3://lake/orders',
    'outlet produce alias late_bound',
  ]);
  const [stock, , orders] = readAssetUses(sample('assets_producer'));
  assert.deepEqual(stock!.accessControl, { producer_teams: ['blue'], allow_global: false, consumer_teams: ['red'] });
  assert.deepEqual(orders!.kind === 'asset' && orders!.extra, { tier: 'gold' });
});

const withOutlet = (outlet: unknown): DagDocument =>
  ({
    dag: {
      timetable: { __type: 'airflow.timetables.simple.NullTimetable', __var: {} },
      tasks: [{ __type: 'operator', __var: { task_id: 't', outlets: [outlet] } }],
    },
  }) as unknown as DagDocument;

test('an asset without a name or uri, or with one that the database does not take, is refused', () => {
  const asset = (fields: object) => withOutlet({ __type: 'asset', __var: fields });
  for (const fields of [
    {},
    { name: 'a' },
    { name: '', uri: 'u' },
    { name: 'a', uri: 7 },
    { name: 'a'.repeat(1001), uri: 'u' },
    { name: 'é'.repeat(501), uri: 'u' },
    { name: 'a', uri: 'u'.repeat(1501) },
  ]) {
    assert.throws(() => readAssetUses(asset(fields)), { code: 'DAG_INVALID' });
  }
  assert.equal(readAssetUses(asset({ name: 'a'.repeat(1000), uri: 'u'.repeat(1500) })).length, 1);
  let nested: object = { __type: 'asset', name: 'a', uri: 'u' };
  for (let i = 0; i < 60; i++) nested = { __type: 'asset_all', objects: [nested] };
  const deep = withOutlet(null);
  (deep.dag.timetable.__var as Record<string, unknown>).asset_condition = nested;
  assert.throws(() => readAssetUses(deep), { code: 'DAG_INVALID' });
});

test('what stands among outlets and is no asset is passed over, also within a mapped task', () => {
  for (const other of [null, 'x', 7, {}, { __type: 'dict', __var: {} }, { __type: 'asset', __var: 3 }]) {
    assert.deepEqual(readAssetUses(withOutlet(other)), []);
  }
  const mapped = withOutlet(null);
  const task = mapped.dag.tasks[0]!.__var as Record<string, unknown>;
  delete task.outlets;
  task.partial_kwargs = { outlets: [{ __type: 'asset', __var: { name: 'a', uri: 'u' } }] };
  assert.deepEqual(
    readAssetUses(mapped).map((use) => [use.role, use.taskId]),
    [['outlet', 't']],
  );
});
