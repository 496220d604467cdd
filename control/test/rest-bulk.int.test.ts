/** Several runs or task instances in one request: bulk actions, clearing, partitions, task groups. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { createLogStore } from '../src/logs/log-store.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let viewer: Caller;
const db = () => kit.database.db;

const group = {
  _group_id: null,
  children: {
    outer: [
      'taskgroup',
      {
        _group_id: 'outer',
        children: {
          'outer.a': ['operator', 'outer.a'],
          'outer.in': ['taskgroup', { _group_id: 'outer.in', children: { 'outer.in.b': ['operator', 'outer.in.b'] } }],
        },
      },
    ],
    last: ['operator', 'last'],
  },
};

before(async () => {
  kit = await restKit();
  ({ user, viewer } = kit.as);
  await withBundle(db());
  await ingest(
    db(),
    'a.ts',
    [
      dagDocument('d', [{ id: 'a' }, { id: 'b', after: ['a'] }]),
      dagDocument('e', [{ id: 'a' }]),
      dagDocument('g', [{ id: 'outer.a' }, { id: 'outer.in.b' }, { id: 'last', after: ['outer.in.b'] }], {
        task_group: group,
      }),
    ],
    new Date().toISOString(),
  );
});
after(() => kit[Symbol.asyncDispose]());

let serial = 0;
async function newRun(dag = 'd', over: Record<string, unknown> = {}): Promise<string> {
  const answer = await user('POST', `/dags/${dag}/dagRuns`, {
    logical_date: null,
    dag_run_id: `r${++serial}`,
    ...over,
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.dag_run_id;
}
const stateOf = async (run: string, dag = 'd') => (await viewer('GET', `/dags/${dag}/dagRuns/${run}`)).body.state;
const tiStates = async (run: string, dag = 'd') => {
  const { body } = await viewer('GET', `/dags/${dag}/dagRuns/${run}/taskInstances?order_by=id`);
  return Object.fromEntries(
    body.task_instances.map((ti: { task_id: string; state: string }) => [ti.task_id, ti.state]),
  );
};
const patchRuns = (actions: unknown[], dag = 'd') => user('PATCH', `/dags/${dag}/dagRuns`, { actions });
const none = { create: null, update: null, delete: null };

test('runs: several actions in one request, each with its own results', async () => {
  const [one, two, three] = [await newRun(), await newRun(), await newRun('e')];
  const { status, body } = await patchRuns(
    [
      { action: 'update', entities: [{ dag_id: 'd', dag_run_id: one, state: 'success', note: 'done' }] },
      { action: 'update', entities: [{ dag_id: 'e', dag_run_id: three, note: 'mine' }] },
      { action: 'delete', entities: [{ dag_id: 'd', dag_run_id: two }] },
      { action: 'create', entities: [{ dag_run_id: 'x' }] },
    ],
    '~',
  );
  assert.equal(status, 200);
  assert.deepEqual(body, {
    update: { success: [`d.${one}`, `e.${three}`], errors: [] },
    delete: { success: [`d.${two}`], errors: [] },
    create: {
      success: [],
      errors: [
        {
          error: 'Dag Runs bulk create is not supported. Use the trigger Dag Run endpoint instead.',
          status_code: 405,
        },
      ],
    },
  });
  assert.equal(await stateOf(one), 'success');
  assert.equal((await viewer('GET', `/dags/d/dagRuns/${one}`)).body.note, 'done');
  assert.equal((await viewer('GET', `/dags/e/dagRuns/${three}`)).body.note, 'mine');
  assert.equal((await viewer('GET', `/dags/d/dagRuns/${two}`)).status, 404);
  assert.deepEqual((await patchRuns([])).body, none);
});

test('runs: a missing one fails its whole action and no other; skip leaves it out', async () => {
  const run = await newRun();
  const entities = [
    { dag_run_id: run, state: 'failed' },
    { dag_run_id: 'absent', state: 'failed' },
  ];
  const failed = await patchRuns([
    { action: 'update', entities },
    { action: 'delete', entities: ['absent'], action_on_non_existence: 'skip' },
  ]);
  const error = "The DagRuns with these identifiers: [('d', 'absent')] were not found";
  assert.deepEqual(failed.body, {
    ...none,
    update: { success: [], errors: [{ error, status_code: 404 }] },
    delete: { success: [], errors: [] },
  });
  assert.equal(await stateOf(run), 'queued');
  const skipped = await patchRuns([{ action: 'update', entities, action_on_non_existence: 'skip' }]);
  assert.deepEqual(skipped.body.update, { success: [`d.${run}`], errors: [] });
  assert.equal(await stateOf(run), 'failed');
});

test('runs: the mask narrows, a running one is not deleted, logs of the deleted go', async () => {
  const [run, running] = [await newRun(), await newRun()];
  const update = {
    action: 'update',
    entities: [{ dag_run_id: run, state: 'failed', note: 'n' }],
    update_mask: ['note'],
  };
  await patchRuns([update]);
  const { state, note } = (await viewer('GET', `/dags/d/dagRuns/${run}`)).body;
  assert.deepEqual([state, note], ['queued', 'n']);
  await db().query(sql`UPDATE dag_run SET state = 'running' WHERE run_id = ${running}`);
  const logs = createLogStore({ root: kit.logFolder, maxBytes: 1000 });
  for (const runId of [run, running]) {
    const ref = { dagId: 'd', runId, taskId: 'a', mapIndex: -1, tryNumber: 1 };
    await logs.append(ref, { base: 0, offset: 0 }, Buffer.from('x\n'));
  }
  const { body } = await patchRuns([{ action: 'delete', entities: [run, running] }]);
  const error = `The DagRun with dag_id: \`d\` and run_id: \`${running}\` cannot be deleted in running state`;
  assert.deepEqual(body.delete, { success: [`d.${run}`], errors: [{ error, status_code: 409 }] });
  assert.equal(existsSync(join(kit.logFolder, 'dag_id=d', `run_id=${run}`)), false);
  assert.equal(existsSync(join(kit.logFolder, 'dag_id=d', `run_id=${running}`)), true);
});

test('runs: below ~ every entity names its Dag, and unknown words are refused before anything is done', async () => {
  const run = await newRun();
  const open = await patchRuns([{ action: 'delete', entities: [run, { dag_run_id: run }] }], '~');
  assert.deepEqual(
    open.body.delete.errors.map((each: { status_code: number }) => each.status_code),
    [400, 400],
  );
  for (const actions of [[{ action: 'melt', entities: [] }], [{ action: 'delete', entities: [7] }]]) {
    const answer = await patchRuns([{ action: 'delete', entities: [run] }, ...actions]);
    assert.equal(answer.status, 422);
  }
  assert.equal(await stateOf(run), 'queued');
});

const patchTis = (run: string, actions: unknown[], dag = 'd') =>
  user('PATCH', `/dags/${dag}/dagRuns/${run}/taskInstances`, { actions });

test('task instances: states, notes and removal; what has the state already is an error of its own', async () => {
  const run = await newRun();
  const { body } = await patchTis(run, [
    {
      action: 'update',
      entities: [
        { task_id: 'a', new_state: 'success', note: 'ok' },
        { task_id: 'a', map_index: -1, new_state: 'success' },
      ],
    },
    { action: 'delete', entities: ['b'] },
    { action: 'create', entities: [{ task_id: 'c' }] },
  ]);
  assert.deepEqual(body, {
    update: {
      success: [`d.${run}.a[-1]`],
      errors: [{ error: 'Task id a is already in success state', status_code: 409 }],
    },
    delete: { success: [`d.${run}.b[-1]`], errors: [] },
    create: { success: [], errors: [{ error: 'Task instances bulk create is not supported', status_code: 405 }] },
  });
  assert.deepEqual(await tiStates(run), { a: 'success' });
  assert.equal((await viewer('GET', `/dags/d/dagRuns/${run}/taskInstances/a`)).body.note, 'ok');
});

test('task instances: a missing one fails its action; below ~ Dag and run are named', async () => {
  const run = await newRun();
  const failed = await patchTis(run, [
    {
      action: 'update',
      entities: [
        { task_id: 'a', new_state: 'failed' },
        { task_id: 'a', map_index: 5, new_state: 'failed' },
      ],
    },
    { action: 'delete', entities: ['zz'] },
  ]);
  const indexed = `[{'dag_id': 'd', 'dag_run_id': '${run}', 'task_id': 'a', 'map_index': 5}]`;
  assert.deepEqual(failed.body.update.errors, [
    { error: `The task instances with these identifiers: ${indexed} were not found`, status_code: 404 },
  ]);
  assert.deepEqual(failed.body.delete.errors, [
    { error: `No task instances found for dag_id: d, run_id: ${run}, task_id: zz`, status_code: 404 },
  ]);
  assert.deepEqual(await tiStates(run), { a: null, b: null });
  const open = await patchTis('~', [{ action: 'delete', entities: ['a', { task_id: 'a', dag_id: 'd' }] }], '~');
  assert.deepEqual(
    open.body.delete.errors.map((each: { status_code: number }) => each.status_code),
    [400, 400],
  );
  const named = { task_id: 'a', dag_id: 'd', dag_run_id: run, new_state: 'skipped' };
  assert.deepEqual((await patchTis('~', [{ action: 'update', entities: [named] }], '~')).body.update.success, [
    `d.${run}.a[-1]`,
  ]);
});

const clear = (body: unknown, dag = 'd') => user('POST', `/dags/${dag}/clearDagRuns`, body);

test('clearing several runs: first a look, then the deed; a missing one stops all', async () => {
  const runs = [await newRun(), await newRun()];
  for (const run of runs) await user('PATCH', `/dags/d/dagRuns/${run}`, { state: 'failed' });
  const dag_runs = runs.map((dag_run_id) => ({ dag_run_id }));
  const look = await clear({ dag_runs });
  assert.equal(look.body.total_entries, 4);
  assert.deepEqual(await Promise.all(runs.map((run) => stateOf(run))), ['failed', 'failed']);
  const absent = await clear({ dag_runs: [...dag_runs, { dag_run_id: 'absent' }], dry_run: false });
  assert.deepEqual(
    [absent.status, absent.body.detail],
    [404, 'The DagRun with dag_id: `d` and run_id: `absent` was not found'],
  );
  assert.deepEqual(await Promise.all(runs.map((run) => stateOf(run))), ['failed', 'failed']);
  const { body } = await clear({ dag_runs: [...dag_runs, dag_runs[0]], dry_run: false, note: 'again' });
  assert.equal(body.total_entries, 2);
  assert.deepEqual(
    body.dag_runs.map((run: Record<string, unknown>) => [run.dag_run_id, run.state, run.note]),
    runs.map((run) => [run, 'queued', 'again']),
  );
});

test('clearing several runs: one way to select them, and Dags that fit the path', async () => {
  const run = await newRun();
  const dag_runs = [{ dag_run_id: run }];
  const one = 'Value error, Exactly one of dag_runs (non-empty), partition_key, or a partition date window';
  for (const body of [
    {},
    { dag_runs: [] },
    { dag_runs, partition_key: 'k' },
    { partition_key: 'k', partition_date_end: '2024-01-01' },
  ]) {
    const answer = await clear(body);
    assert.equal(answer.status, 422);
    assert.ok(answer.body.detail[0].msg.startsWith(one), answer.text);
  }
  assert.equal((await clear({ dag_runs, only_new: true, only_failed: true })).status, 422);
  const late = await clear({ partition_date_start: '2024-02-01', partition_date_end: '2024-01-01T00:00:00Z' });
  assert.match(late.body.detail[0].msg, /must be on or before/);
  const other = await clear({ dag_runs: [{ dag_run_id: run, dag_id: 'e' }] });
  assert.deepEqual([other.status, other.body.detail], [400, "Entry dag_id 'e' does not match the URL dag_id 'd'."]);
  assert.equal((await clear({ dag_runs }, '~')).status, 400);
  assert.equal((await clear({ partition_key: 'k' }, '~')).status, 400);
  assert.equal((await clear({ dag_runs: [{ dag_run_id: run, dag_id: 'd' }] }, '~')).status, 200);
});

test('runs leave their partitions; a look counts, the deed clears, a second one finds nothing', async () => {
  const [one, two, plain] = [await newRun('e'), await newRun('e'), await newRun('e')];
  const place = (run: string, key: string, date: string) =>
    db().query(sql`UPDATE dag_run SET partition_key = ${key}, partition_date = ${date} WHERE run_id = ${run}`);
  await place(one, 'monday', '2024-01-01T00:00:00Z');
  await place(two, 'tuesday', '2024-01-02T00:00:00Z');
  const leave = (body: object) => user('POST', '/dags/e/clearPartitions', body).then((answer) => answer.body);
  const counts = (runs: number, tis: number, dry: boolean) => ({
    dag_runs_cleared: runs,
    task_instances_cleared: tis,
    dry_run: dry,
  });
  assert.deepEqual(await leave({ partition_key: 'monday' }), counts(1, 0, true));
  assert.deepEqual(await leave({ run_id: plain }), counts(0, 0, true));
  const window = { partition_date_start: '2024-01-02T00:00:00', clear_task_instances: true };
  assert.deepEqual(await leave(window), counts(1, 1, true));
  assert.deepEqual(await leave({ ...window, dry_run: false }), counts(1, 1, false));
  const { partition_key: key, partition_date: date } = (await viewer('GET', `/dags/e/dagRuns/${two}`)).body;
  assert.deepEqual([key, date], [null, null]);
  assert.deepEqual(await leave({ ...window, dry_run: false }), counts(0, 0, false));
  assert.equal((await viewer('GET', `/dags/e/dagRuns/${one}`)).body.partition_key, 'monday');
  assert.equal((await clear({ partition_key: 'monday' }, 'e')).body.total_entries, 1);
  assert.equal((await user('POST', '/dags/absent/clearPartitions', { run_id: 'r' })).status, 404);
});

test('a task group: all its tasks at any depth, nothing beside it', async () => {
  const run = await newRun('g');
  const path = `/dags/g/dagRuns/${run}/taskGroupInstances/outer`;
  const ids = (answer: { body: { task_instances: Array<{ task_id: string }> } }) =>
    answer.body.task_instances.map((ti) => ti.task_id).sort();
  const look = await user('PATCH', `${path}/dry_run`, { new_state: 'success' });
  assert.deepEqual(ids(look), ['outer.a', 'outer.in.b']);
  assert.deepEqual(await tiStates(run, 'g'), { 'outer.a': null, 'outer.in.b': null, last: null });
  const noted = await user('PATCH', path, { note: 'seen' });
  assert.deepEqual(
    noted.body.task_instances.map((ti: { note: string }) => ti.note),
    ['seen', 'seen'],
  );
  const inner = await user('PATCH', `/dags/g/dagRuns/${run}/taskGroupInstances/outer.in`, { new_state: 'failed' });
  assert.deepEqual(ids(inner), ['outer.in.b']);
  assert.deepEqual(ids(await user('PATCH', path, { new_state: 'success' })), ['outer.a', 'outer.in.b']);
  assert.deepEqual(await tiStates(run, 'g'), { 'outer.a': 'success', 'outer.in.b': 'success', last: null });
  const again = await user('PATCH', path, { new_state: 'success' });
  assert.deepEqual(
    [again.status, again.body.detail],
    [409, 'All task instances in the group are already in success state'],
  );
});

test('a task group that is not there, or has nothing in this run, is 404', async () => {
  const detail = async (path: string) => {
    const { status, body } = await user('PATCH', path, { new_state: 'success' });
    return [status, body.detail];
  };
  for (const end of ['', '/dry_run']) {
    assert.deepEqual(await detail(`/dags/g/dagRuns/r/taskGroupInstances/zz${end}`), [
      404,
      "Task group 'zz' not found in DAG 'g'",
    ]);
    assert.deepEqual(await detail(`/dags/g/dagRuns/absent/taskGroupInstances/outer${end}`), [
      404,
      "No task instances found for task group 'outer' in dag run 'absent'",
    ]);
  }
});

test('a viewer may do none of it', async () => {
  const run = await newRun();
  const actions = [{ action: 'delete', entities: [run] }];
  for (const [method, path, body] of [
    ['PATCH', '/dags/d/dagRuns', { actions }],
    ['PATCH', `/dags/d/dagRuns/${run}/taskInstances`, { actions: [{ action: 'delete', entities: ['a'] }] }],
    ['POST', '/dags/d/clearDagRuns', { dag_runs: [{ dag_run_id: run }], dry_run: false }],
  ] as const) {
    assert.equal((await viewer(method, path, body)).status, 403);
    assert.equal(await stateOf(run), 'queued');
    assert.equal((await user(method, path, body)).status, 200);
    if (path === '/dags/d/dagRuns') await newRun('d', { dag_run_id: run });
  }
});
