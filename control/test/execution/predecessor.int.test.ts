import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { admitTicket } from '../../src/executors/join-ticket.ts';
import { startExecutionApi } from './kit.ts';

const newTicket = () => ({ ticket: randomBytes(32).toString('base64url'), roles: ['worker'] });

test('a new ticket for a place ends the supervisor that lived there, and releases what it held at once', async () => {
  // Waiting for a dead supervisor's silence would hold up each run that it served for half a minute.
  await using api = await startExecutionApi();
  const running = await api.startTry({ maxTries: 1 });
  const { worker } = running;
  const other = await api.startTry({ maxTries: 1 });
  await api.db.query(sql`UPDATE supervisor SET place = 'here' WHERE id = ${worker.id}`);
  const claimed = await api.seedTask(running.run, { taskId: 'claimed' });
  await api.claim(worker, 10);
  const tasks = () =>
    api.db.query<{ task_id: string; state: string; supervisor_id: string | null; id: string }>(
      sql`SELECT id, task_id, state, supervisor_id FROM task_instance WHERE dag_id = ${running.run.dagId} ORDER BY task_id`,
    );
  assert.ok((await tasks()).every((task) => task.supervisor_id === worker.id));

  await admitTicket(api.db, { ...newTicket(), place: 'here' }, api.nowMs());

  const [wasClaimed, wasRunning] = await tasks();
  assert.deepEqual([wasClaimed!.state, wasClaimed!.supervisor_id, wasClaimed!.id], ['queued', null, claimed.id]);
  assert.deepEqual([wasRunning!.state, wasRunning!.supervisor_id], ['up_for_retry', null]);
  assert.notEqual(wasRunning!.id, running.id, 'its old token names nothing any more');
  const path = `/supervisors/${worker.id}/heartbeat`;
  const json = { role: 'worker', holds: [] };
  const beat = await api.call('PUT', path, { key: worker.key, token: worker.tokens.worker!, json });
  assert.equal(beat.status, 403, 'should it live after all, it has no say any more');
  const untouched = await api.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${other.id}`);
  assert.equal(untouched.state, 'running', 'a supervisor elsewhere goes on');
});

test('a ticket without a place ends nobody', async () => {
  await using api = await startExecutionApi();
  const running = await api.startTry();
  await api.db.query(sql`UPDATE supervisor SET place = 'here' WHERE id = ${running.worker.id}`);
  await admitTicket(api.db, newTicket(), api.nowMs());
  const row = await api.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${running.id}`);
  assert.equal(row.state, 'running');
});
