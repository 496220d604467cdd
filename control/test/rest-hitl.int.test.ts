/** Requests of tasks to people over the API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let viewer: Caller;
const db = () => kit.database.db;

before(async () => {
  kit = await restKit();
  ({ user, viewer } = kit.as);
  await withBundle(db());
  const tasks = ['plain', 'many', 'mine', 'quiet'].map((id) => ({ id }));
  await ingest(db(), 'd.ts', [dagDocument('d', tasks)], new Date().toISOString());
  for (const run of ['r', 's']) {
    assert.equal((await user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: run })).status, 200);
  }
  await request('r', 'plain', { subject: 'Ship it?', params: { note: 'x' } });
  await request('r', 'many', { multiple: true, body: 'Choose some' });
  await request('r', 'mine', { assigned: [{ id: 'op', name: 'Op' }] });
  await request('s', 'plain', {});
});
after(() => kit[Symbol.asyncDispose]());

/** As the task asks, over the other API. */
async function request(
  run: string,
  task: string,
  o: { subject?: string; body?: string; multiple?: boolean; params?: object; assigned?: object[] },
): Promise<void> {
  await db().query(
    sql`INSERT INTO hitl_detail (ti_id, dag_run_id, dag_id, run_id, task_id, map_index, options, subject, body, multiple,
        params, assigned_users, created_at)
      SELECT id, dag_run_id, dag_id, run_id, task_id, map_index, ${['B', 'A']}::text[], ${o.subject ?? 'Which?'},
        ${o.body ?? null}, ${o.multiple ?? false}, ${JSON.stringify(o.params ?? {})}::json,
        ${JSON.stringify(o.assigned ?? [])}::json, ${new Date(kit.clock.nowMs()).toISOString()}
      FROM task_instance WHERE run_id = ${run} AND task_id = ${task}`,
  );
}
const at = (task: string, run = 'r') => `/dags/d/dagRuns/${run}/taskInstances/${task}/-1/hitlDetails`;
const idOf = async (task: string) => (await viewer('GET', `/dags/d/dagRuns/r/taskInstances/${task}`)).body.id;

test('a request is shown with its task instance, plain parameters as parameters', async () => {
  const { status, body } = await viewer('GET', at('plain'));
  assert.equal(status, 200);
  const { task_instance: ti, created_at: createdAt, ...rest } = body;
  assert.deepEqual([ti.task_id, ti.dag_run_id, ti.id], ['plain', 'r', await idOf('plain')]);
  assert.match(createdAt, /Z$/);
  assert.deepEqual(rest, {
    options: ['B', 'A'],
    subject: 'Ship it?',
    body: null,
    defaults: null,
    multiple: false,
    params: { note: { value: 'x', description: null, schema: {} } },
    assigned_users: [],
    responded_by_user: null,
    responded_at: null,
    chosen_options: null,
    params_input: {},
    response_received: false,
  });
});

test('lists reach over runs and Dags, and are filtered by what people look for', async () => {
  const found = async (query: string, path = '/dags/~/dagRuns/~/hitlDetails') =>
    (await viewer('GET', `${path}?${query}`)).body.hitl_details.map(
      (each: { task_instance: { task_id: string; dag_run_id: string } }) =>
        `${each.task_instance.dag_run_id}.${each.task_instance.task_id}`,
    );
  assert.deepEqual((await found('')).sort(), ['r.many', 'r.mine', 'r.plain', 's.plain']);
  assert.deepEqual((await found('', '/dags/d/dagRuns/r/hitlDetails')).sort(), ['r.many', 'r.mine', 'r.plain']);
  assert.deepEqual(await found('subject_search=SHIP'), ['r.plain']);
  assert.deepEqual(await found('subject_search=%25'), []); // nothing is wild here
  assert.deepEqual(await found('body_search=some'), ['r.many']);
  assert.deepEqual(await found('task_id=mine'), ['r.mine']);
  assert.deepEqual(await found('task_id_pattern=man|min&order_by=-subject&order_by=task_display_name'), [
    'r.many',
    'r.mine',
  ]);
  assert.deepEqual(await found('response_received=true'), []);
  assert.deepEqual(await found('state=failed'), []);
  assert.equal((await viewer('GET', '/dags/~/dagRuns/~/hitlDetails?order_by=body')).status, 400);
  assert.equal((await viewer('GET', '/dags/~/dagRuns/~/hitlDetails?state=odd')).status, 422);
});

test('an answer is checked in the order of the reference, counts once, and is in the audit log', async () => {
  const answer = async (task: string, body: unknown, caller = user) => {
    const { status, body: given } = await caller('PATCH', at(task), body);
    return [status, given.detail];
  };
  const chosen = (...options: string[]) => ({ chosen_options: options });
  assert.deepEqual(await answer('quiet', chosen('A')), [
    404,
    `Human-in-the-loop detail does not exist for Task Instance with id ${await idOf('quiet')}`,
  ]);
  const missing = 'The Task Instance with dag_id: `d`, run_id: `r`, task_id: `no` and map_index: `-1` was not found';
  assert.deepEqual(await answer('no', chosen('A')), [404, missing]);
  assert.deepEqual(await answer('mine', chosen('Z')), [403, 'User=user (id=user) is not a respondent for the task.']);
  assert.deepEqual(await answer('plain', chosen('Z', 'A', 'Y')), [
    400,
    "Invalid options ['Y', 'Z']; allowed options are ['A', 'B'].",
  ]);
  assert.deepEqual(await answer('plain', chosen('A', 'B')), [
    400,
    'Multiple options chosen but this Human-in-the-loop task accepts only a single option.',
  ]);
  assert.equal((await answer('plain', chosen()))[0], 422);
  assert.equal((await answer('plain', {}))[0], 422);
  assert.deepEqual(await answer('plain', chosen('A'), viewer), [403, 'Forbidden']);
  assert.equal((await viewer('GET', at('plain'))).body.response_received, false);

  const good = await user('PATCH', at('plain'), {
    chosen_options: ['A'],
    params_input: { note: 'canary-77' },
    more: 1,
  });
  assert.equal(good.status, 200);
  const { responded_at: respondedAt, ...rest } = good.body;
  assert.match(respondedAt, /Z$/);
  assert.deepEqual(rest, {
    responded_by: { id: 'user', name: 'user' },
    chosen_options: ['A'],
    params_input: { note: 'canary-77' },
  });
  assert.deepEqual(await answer('plain', chosen('Z'), kit.as.op), [
    409,
    `Human-in-the-loop detail has already been updated for Task Instance with id ${await idOf('plain')} and is not allowed to write again.`,
  ]);
  const shown = (await viewer('GET', at('plain'))).body;
  assert.deepEqual(
    [shown.response_received, shown.responded_by_user, shown.chosen_options, shown.responded_at],
    [true, { id: 'user', name: 'user' }, ['A'], respondedAt],
  );
  assert.equal((await user('PATCH', at('many'), { chosen_options: ['A', 'B'] })).status, 200);
  assert.equal((await kit.as.op('PATCH', at('mine'), { chosen_options: ['B'] })).status, 200);
  const { event_logs: logs } = (await viewer('GET', '/eventLogs?event=update_hitl_detail&order_by=id&dag_id=d')).body;
  const kept = logs.filter((row: { extra: string }) => !row.extra.includes('"refused"'));
  assert.deepEqual(
    kept.map((row: { owner: string; task_id: string }) => [row.owner, row.task_id]),
    [
      ['user', 'plain'],
      ['user', 'many'],
      ['op', 'mine'],
    ],
  );
  assert.ok(!JSON.stringify(kept).includes('canary-77'));
});

test('an answer lets the task that waits for it go on at once, in the same transaction', async () => {
  await request('s', 'many', {});
  const state = async () =>
    (
      await db().query<{ state: string; next_kwargs: { event?: { chosen_options: string[] } } }>(
        sql`SELECT state, next_kwargs FROM task_instance WHERE run_id = 's' AND task_id = 'many'`,
      )
    )[0]!;
  await db().query(
    sql`UPDATE task_instance SET state = 'awaiting_input', next_method = 'm', next_kwargs = '{}' WHERE run_id = 's' AND task_id = 'many'`,
  );
  assert.equal((await user('PATCH', at('many', 's'), { chosen_options: ['Z'] })).status, 400);
  assert.equal((await state()).state, 'awaiting_input', 'a refused answer is none');
  assert.equal((await user('PATCH', at('many', 's'), { chosen_options: ['A'] })).status, 200);
  const { state: now, next_kwargs: kwargs } = await state();
  assert.deepEqual([now, kwargs.event?.chosen_options], ['scheduled', ['A']]);
});

test('of many who answer at once one is heard', async () => {
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, i) => user('PATCH', at('plain', 's'), { chosen_options: [i % 2 ? 'A' : 'B'] })),
  );
  const statuses = all.map((each) => each.status).sort();
  assert.deepEqual(statuses, [200, ...Array(7).fill(409)]);
});

test('a cleared try keeps its request as history, and the new one has none', async () => {
  const cleared = { dry_run: false, dag_run_id: 'r', only_failed: false, task_ids: ['many'] };
  await db().query(
    sql`UPDATE task_instance SET try_number = 1, state = 'success' WHERE run_id = 'r' AND task_id = 'many'`,
  );
  assert.equal((await user('POST', '/dags/d/clearTaskInstances', cleared)).status, 200);
  assert.equal((await viewer('GET', at('many'))).status, 404);
  const old = await viewer('GET', `${at('many')}/tries/1`);
  assert.deepEqual([old.status, old.body.chosen_options], [200, ['A', 'B']]);
  assert.equal(old.body.task_instance.try_number, 1);
  assert.ok(!('id' in old.body.task_instance));
  assert.equal((await user('PATCH', at('many'), { chosen_options: ['A'] })).status, 404);
  for (const number of ['7', 'x']) {
    assert.equal((await viewer('GET', `${at('many')}/tries/${number}`)).status, number === 'x' ? 422 : 404);
  }
});
