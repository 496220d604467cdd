// The start of a try to the letter: who counts as the same process, what a repeat changes, what a resumed stretch keeps.
// @see execution API 3.2, 10.6; promise L5
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { type Answer, type Server, startExecutionApi } from './kit.ts';

let server: Server;
before(async () => {
  server = await startExecutionApi({ AIRLOCK__WORKERS__COMMAND_QUEUES: 'plain' });
});
after(() => server?.close());

const refreshed = (answer: Answer) => answer.headers.get('refreshed-api-token');
const FIRST = '2026-07-01T00:00:01Z';
const LATER = '2026-07-01T00:00:09.5Z';

/** A queued try whose worker knows no proof of possession, and its workload token. */
async function queued() {
  const ti = await server.seedTask(await server.seedRun(), {
    queue: 'plain',
    runtime: 'python',
    needs: null,
    maxTries: 1,
  });
  const worker = await server.joinWorker();
  const [workload] = await server.claim(worker);
  const start = (over: object = {}, token = workload!.token) =>
    server.call('PATCH', `/task-instances/${ti.id}/run`, {
      token,
      json: server.runBody({ start_date: FIRST, ...over }),
    });
  return { ...ti, worker, start };
}
const startOf = async (id: string) =>
  (await server.one<{ at: Date }>(sql`SELECT start_date AS at FROM task_instance WHERE id = ${id}`)).at;
const same = async (id: string, instant: string) =>
  assert.equal(new Date(await startOf(id)).toISOString(), new Date(instant).toISOString());

for (const [name, over] of [
  ['host', { hostname: 'worker-2' }],
  ['user', { unixname: 'other' }],
  ['process', { pid: 4243 }],
] as const) {
  test(`a start that is repeated by another ${name} is 409 and changes nothing; by the same process it is 200 with the same token`, async () => {
    const ti = await queued();
    const first = await ti.start();
    assert.equal(first.status, 200, first.text);
    const row = () => server.one(sql`SELECT * FROM task_instance WHERE id = ${ti.id}`);
    const before = await row();
    const other = await ti.start({ ...over, start_date: LATER });
    assert.deepEqual(
      [other.status, other.json(), refreshed(other)],
      [
        409,
        {
          detail: {
            reason: 'invalid_state',
            message: 'TI was not in a state where it could be marked as running',
            previous_state: 'running',
          },
        },
        null,
      ],
    );
    assert.deepEqual(await row(), before);
    const again = await ti.start({ start_date: LATER });
    assert.deepEqual([again.status, again.json(), refreshed(again)], [200, first.json(), refreshed(first)]);
    await same(ti.id, LATER);
  });
}

for (const [kwargs, kept] of [
  ['{"a": 1}', true],
  ['{}', false],
  ['null', false],
] as const) {
  test(`a stretch that resumes with ${kwargs} ${kept ? 'keeps' : 'moves'} the start of the try`, async () => {
    const ti = await queued();
    const token = refreshed(await ti.start())!;
    const json = { state: 'up_for_reschedule', end_date: FIRST, reschedule_date: FIRST };
    assert.equal((await server.call('PATCH', `/task-instances/${ti.id}/state`, { token, json })).status, 204);
    await server.db.query(
      sql`UPDATE task_instance SET state = 'queued', next_method = 'resume', next_kwargs = ${kwargs}::json WHERE id = ${ti.id}`,
    );
    const [workload] = await server.claim(ti.worker);
    const resumed = await ti.start({ start_date: LATER }, workload!.token);
    assert.equal(resumed.status, 200, resumed.text);
    assert.equal(resumed.json<{ next_method: string }>().next_method, 'resume');
    await same(ti.id, kept ? FIRST : LATER);
  });
}

test('after a retry was reported the old id is 404 for a start, and the new one starts', async () => {
  const ti = await queued();
  const token = refreshed(await ti.start())!;
  const json = { state: 'up_for_retry', end_date: FIRST };
  assert.equal((await server.call('PATCH', `/task-instances/${ti.id}/state`, { token, json })).status, 204);
  const late = await ti.start();
  assert.deepEqual(
    [late.status, late.json(), refreshed(late)],
    [404, { detail: { reason: 'not_found', message: 'Task Instance not found' } }, null],
  );
  const next = await server.one<{ id: string }>(
    sql`UPDATE task_instance SET state = 'queued', try_number = 2 WHERE run_id = ${ti.run.runId} RETURNING id`,
  );
  const [workload] = await server.claim(ti.worker);
  assert.equal(workload!.ti.id, next.id);
  const start = { token: workload!.token, json: server.runBody() };
  assert.equal((await server.call('PATCH', `/task-instances/${next.id}/run`, start)).status, 200);
});

test('a try in any state but queued and restarting does not start, and says which', async () => {
  for (const state of [
    null,
    'scheduled',
    'deferred',
    'up_for_retry',
    'up_for_reschedule',
    'success',
    'failed',
    'skipped',
  ]) {
    const ti = await queued();
    await server.db.query(sql`UPDATE task_instance SET state = ${state} WHERE id = ${ti.id}`);
    const answer = await ti.start();
    assert.deepEqual(
      [answer.status, answer.json<{ detail: { previous_state: string } }>().detail.previous_state, refreshed(answer)],
      [409, state, null],
    );
  }
  const restarting = await queued();
  await server.db.query(sql`UPDATE task_instance SET state = 'restarting' WHERE id = ${restarting.id}`);
  const started = await restarting.start();
  assert.deepEqual([started.status, started.json<{ should_retry: boolean }>().should_retry], [200, true]);
});
