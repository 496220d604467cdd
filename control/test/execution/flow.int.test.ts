import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { startExecutionApi } from './kit.ts';

test('a try is claimed, started, beaten for and ended, each step with its own token', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const path = `/task-instances/${ti.id}`;
  const send = { key: ti.key, token: ti.token };
  assert.equal(ti.context.headers.get('content-type'), 'application/json');
  assert.equal(ti.context.headers.get('airflow-api-version'), '2026-06-30');
  const context = ti.context.json<{ dag_run: Record<string, unknown>; max_tries: number; should_retry: boolean }>();
  assert.equal(context.dag_run.dag_id, ti.run.dagId);
  assert.equal(context.dag_run.state, 'running');
  assert.deepEqual(Object.keys(context.dag_run).length, 18);
  assert.equal(context.should_retry, false);

  const beat = await server.call('PUT', `${path}/heartbeat`, { ...send, json: { hostname: 'worker-1', pid: 4242 } });
  assert.deepEqual([beat.status, beat.text], [204, '']);
  const rtif = await server.call('PUT', `${path}/rtif`, { ...send, json: { a: 'b' } });
  assert.deepEqual([rtif.status, rtif.json()], [201, { message: 'Rendered task instance fields successfully set' }]);
  const done = await server.call('PATCH', `${path}/state`, {
    ...send,
    json: {
      state: 'success',
      end_date: new Date(server.nowMs() + 1500).toISOString(),
      task_outlets: [],
      outlet_events: [],
      rendered_map_index: null,
    },
  });
  assert.deepEqual([done.status, done.text], [204, '']);
  const row = await server.one<Record<string, unknown>>(sql`SELECT * FROM task_instance WHERE id = ${ti.id}`);
  assert.equal(row.state, 'success');
  assert.equal(row.duration, 1.5);
  assert.equal(row.execution_jti, null);
  assert.equal(row.workload_jti, null);
  assert.equal(row.supervisor_id, null);
  const audit = await server.db.query<{ event: string }>(
    sql`SELECT event FROM event_log WHERE task_id = 'extract' ORDER BY id`,
  );
  assert.deepEqual(
    audit.map((each) => each.event),
    ['claimed', 'running', 'success'],
  );

  const again = await server.call('PATCH', `${path}/state`, {
    ...send,
    json: { state: 'success', end_date: '2026-01-01T00:00:00Z' },
  });
  assert.deepEqual([again.status, again.text], [200, '']);
  const other = await server.call('PATCH', `${path}/state`, {
    ...send,
    json: { state: 'failed', end_date: '2026-01-01T00:00:00Z' },
  });
  assert.deepEqual(
    [other.status, other.json()],
    [
      409,
      {
        detail: {
          reason: 'invalid_state',
          message: 'TI was not in the running state so it cannot be updated',
          previous_state: 'success',
        },
      },
    ],
  );
});
