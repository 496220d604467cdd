import assert from 'node:assert/strict';
import test from 'node:test';
import { legacyEncoding, migrateAnswer } from './migrations.ts';
import type { ApiVersion } from './version.ts';

const context = {
  dag_run: {
    dag_id: 'etl_orders',
    run_id: 'r',
    logical_date: null,
    data_interval_start: null,
    data_interval_end: null,
    run_after: '2026-07-01T00:00:00Z',
    start_date: null,
    end_date: null,
    clear_number: 0,
    run_type: 'manual',
    state: 'running',
    conf: null,
    triggering_user_name: null,
    consumed_asset_events: [],
    partition_key: null,
    partition_date: null,
    note: null,
    team_name: null,
  },
  task_reschedule_count: 0,
  max_tries: 2,
  variables: [],
  connections: [],
  xcom_keys_to_clear: [],
  should_retry: true,
  next_method: 'execute_complete',
  next_kwargs: { k: [1] },
  start_date: '2026-07-01T00:00:04Z',
} as const;
const migrated = (version: ApiVersion) =>
  migrateAnswer('runContext', context, version) as { dag_run: Record<string, unknown> } & Record<string, unknown>;

test('each older client gets what it knows and nothing that it would refuse', () => {
  assert.deepEqual(migrated('2026-06-30'), context);
  const gone = (version: ApiVersion) =>
    Object.keys(context.dag_run).filter((key) => !Object.hasOwn(migrated(version).dag_run, key));
  assert.deepEqual(gone('2026-04-06'), ['partition_date', 'team_name']);
  assert.deepEqual(gone('2025-11-05'), ['partition_key', 'partition_date', 'note', 'team_name']);
  assert.deepEqual(gone('2025-10-27'), [
    'triggering_user_name',
    'partition_key',
    'partition_date',
    'note',
    'team_name',
  ]);
  assert.deepEqual(gone('2025-05-20'), [
    'state',
    'triggering_user_name',
    'partition_key',
    'partition_date',
    'note',
    'team_name',
  ]);
  const older = migrated('2025-11-05');
  assert.equal(older.dag_run.start_date, context.dag_run.run_after);
  assert.equal(older.dag_run.conf, null);
  assert.equal(Object.hasOwn(older, 'start_date'), false);
  assert.equal(older.upstream_map_indexes, null);
  assert.deepEqual(older.next_kwargs, { __type: 'dict', __var: { k: [1] } });
  assert.deepEqual(migrated('2025-09-23').dag_run.conf, {});
});

test('the older encoding turns instants, durations and tuples, and refuses other classes', () => {
  const typed = (name: string, data: unknown) => ({ __classname__: name, __version__: 2, __data__: data });
  assert.deepEqual(
    legacyEncoding({ at: typed('datetime.datetime', { timestamp: 5, tz: null }), d: typed('datetime.timedelta', 1.5) }),
    {
      __type: 'dict',
      __var: { at: { __type: 'datetime', __var: 5 }, d: { __type: 'timedelta', __var: 1.5 } },
    },
  );
  assert.deepEqual(legacyEncoding([typed('builtins.tuple', [1, [2]])]), [{ __type: 'tuple', __var: [1, [2]] }]);
  assert.throws(() => legacyEncoding({ x: typed('os.system', 'rm') }), { code: 'INTERNAL' });
});
