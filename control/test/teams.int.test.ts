/**
 * Teams over the REST API: every route is asked for a thing of another team, as every role but admin, and answers as if it did
 * not exist; the same request for a thing of the own team succeeds. A route that is not described here fails.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { createAccount } from '../src/api/auth/accounts.ts';
import { REST_ROUTES } from '../src/api/rest/index.ts';
import { REST_POLICY } from '../src/api/rest/policy.ts';
import { createTeam, joinTeam, leaveTeam } from '../src/auth-managers/teams.ts';
import { ingestParseReport } from '../src/runs/index.ts';
import { DEFAULTS, dagDocument, reportOf } from './kit/dags.ts';
import { fingerprintOfB, makeTeams, makeThings, namesOf, pathOf, secretOf, type Things } from './kit/teams.ts';
import { type Answer, type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
const db = () => kit.database.db;
const callers: Record<string, Caller> = {};
const ROLES = ['viewer', 'user', 'op'] as const;

before(async () => {
  kit = await restKit({ config: { AIRLOCK__CORE__MULTI_TEAM: 'true', AIRLOCK__API__MAXIMUM_PAGE_LIMIT: '5000' } });
  await makeTeams(db());
  for (const role of ROLES) {
    for (const team of ['a', 'b', '']) {
      const name = team === '' ? `${role}-alone` : `${role}-of-${team}`;
      await createAccount(kit.deps, 'test', { name, role, password: null });
      if (team !== '') await joinTeam(kit.deps, 'test', { account: name, team });
      callers[name] = kit.withToken(await kit.tokenOf(name));
    }
  }
});
after(() => kit[Symbol.asyncDispose]());

type Request = { readonly query?: string; readonly body?: unknown };
type Case = {
  /** What is asked beyond the path, about these things. */
  readonly ask?: (things: Things) => Request;
  /** What must have been there for the request to succeed, done as an administrator. */
  readonly prepare?: (things: Things) => Promise<unknown>;
  /** Default: any status below 400. */
  readonly succeeds?: (answer: Answer) => boolean;
  /** Nobody may, so that there is no control. */
  readonly refusedForAll?: true;
};

const bulk = (make: (things: Things) => unknown): Case => ({
  ask: (things) => ({ body: { actions: [make(things)] } }),
  succeeds: ({ body }) => body.update.success.length === 1,
});
const found = (list: string) => (answer: Answer) => answer.status === 200 && answer.body[list].length > 0;
const ofDag = (things: Things): Request => ({ query: `dag_id=${things.dag}` });

/** Routes that need more than their path. */
const CASES: Record<string, Case> = {
  'GET /dags': { ask: (t) => ({ query: `dag_id_pattern=${t.dag}` }), succeeds: found('dags') },
  'PATCH /dags': {
    ask: (t) => ({ query: `dag_id_pattern=${t.dag}`, body: { is_paused: true } }),
    succeeds: found('dags'),
  },
  'PATCH /dags/:dag_id': { ask: () => ({ body: { is_paused: true } }) },
  'POST /dags/:dag_id/unfavorite': {
    prepare: (t) =>
      db().query(sql`INSERT INTO dag_favorite (dag_id, user_name) VALUES (${t.dag}, ${`op-of-${t.team}`})`),
  },
  'GET /dagTags': { ask: (t) => ({ query: `tag_name_pattern=${t.tag}` }), succeeds: found('tags') },
  'GET /dagStats': { ask: (t) => ({ query: `dag_ids=${t.dag}` }), succeeds: found('dags') },
  'GET /dagWarnings': { ask: ofDag, succeeds: found('dag_warnings') },
  'POST /dags/:dag_id/dagRuns': { ask: (t) => ({ body: { logical_date: null, dag_run_id: `${t.mark}new` } }) },
  'POST /dags/:dag_id/dagRuns/list': { ask: (t) => ({ body: { dag_ids: [t.dag] } }), succeeds: found('dag_runs') },
  'GET /dags/:dag_id/dagRuns/:dag_run_id/wait': {
    ask: () => ({ query: 'interval=1' }),
    prepare: (t) => db().query(sql`UPDATE dag_run SET state = 'failed' WHERE dag_id = ${t.dag}`),
  },
  'PATCH /dags/:dag_id/dagRuns/:dag_run_id': { ask: () => ({ body: { state: 'failed', note: 'x' } }) },
  'POST /dags/:dag_id/dagRuns/:dag_run_id/clear': { ask: () => ({ body: { dry_run: false } }) },
  'DELETE /dags/:dag_id/dagRuns/:dag_run_id': {
    prepare: (t) => db().query(sql`UPDATE dag_run SET state = 'failed' WHERE dag_id = ${t.dag}`),
  },
  'POST /dags/:dag_id/dagRuns/:dag_run_id/taskInstances/list': {
    ask: (t) => ({ body: { dag_ids: [t.dag] } }),
    succeeds: found('task_instances'),
  },
  'POST /dags/:dag_id/clearTaskInstances': { ask: () => ({ body: { dry_run: false, only_failed: false } }) },
  'POST /variables': { ask: (t) => ({ body: { key: `${t.mark}new`, value: 'x', team_name: t.team } }) },
  'PATCH /variables': bulk((t) => ({ action: 'update', entities: [{ key: t.variable, value: 'x' }] })),
  'PATCH /variables/*': { ask: (t) => ({ body: { key: t.variable, value: 'x' } }) },
  'GET /variables': { ask: (t) => ({ query: `variable_key_pattern=${t.variable}` }), succeeds: found('variables') },
  'POST /connections': {
    ask: (t) => ({ body: { connection_id: `${t.mark}new`, conn_type: 'http', team_name: t.team } }),
  },
  'PATCH /connections': bulk((t) => ({
    action: 'update',
    entities: [{ connection_id: t.connection, conn_type: 'ftp' }],
  })),
  'PATCH /connections/:connection_id': {
    ask: (t) => ({ body: { connection_id: t.connection, conn_type: 'ftp' } }),
  },
  'GET /connections': {
    ask: (t) => ({ query: `connection_id_pattern=${t.connection}` }),
    succeeds: found('connections'),
  },
  'GET /connections/enqueue-test': { refusedForAll: true },
  'POST /connections/enqueue-test': {
    ask: (t) => ({ body: { connection_id: t.connection, conn_type: 'http' } }),
    refusedForAll: true,
  },
  // It names nothing of anybody's.
  'POST /connections/defaults': {},
  'POST /connections/test': {
    ask: (t) => ({ body: { connection_id: t.connection, conn_type: 'http' } }),
    refusedForAll: true,
  },
  'POST /pools': { ask: (t) => ({ body: { name: `${t.mark}new`, slots: 1, team_name: t.team } }) },
  'PATCH /pools': bulk((t) => ({
    action: 'update',
    entities: [{ name: t.pool, slots: 9, include_deferred: false }],
  })),
  'PATCH /pools/*': { ask: (t) => ({ body: { name: t.pool, slots: 9, include_deferred: false } }) },
  'GET /pools': { ask: (t) => ({ query: `pool_name_pattern=${t.pool}` }), succeeds: found('pools') },
  'GET /importErrors': { ask: (t) => ({ query: `filename_pattern=${t.mark}` }), succeeds: found('import_errors') },
  'GET /eventLogs': { ask: ofDag, succeeds: found('event_logs') },
};
const TI = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances/:task_id';
Object.assign(CASES, {
  [`POST ${TI}/xcomEntries`]: { ask: () => ({ body: { key: 'new', value: 1 } }) },
  [`PATCH ${TI}/xcomEntries/*`]: { ask: () => ({ body: { value: 1 } }) },
  'PATCH /dags/:dag_id/dagRuns': bulk((t) => ({ action: 'update', entities: [{ dag_run_id: t.run, note: 'x' }] })),
  'POST /dags/:dag_id/clearDagRuns': {
    ask: (t) => ({ body: { dag_runs: [{ dag_run_id: t.run }], dry_run: false } }),
  },
  'POST /dags/:dag_id/clearPartitions': {
    ask: (t) => ({ body: { run_id: t.run, clear_task_instances: true, dry_run: false } }),
  },
  'PATCH /dags/:dag_id/dagRuns/:dag_run_id/taskInstances': bulk(() => ({
    action: 'update',
    entities: [{ task_id: 'task', note: 'x' }],
  })),
  'GET /assets': { ask: (t) => ({ query: `name_pattern=${t.mark}` }), succeeds: found('assets') },
  'GET /assets/aliases': { ask: (t) => ({ query: `name_pattern=${t.mark}` }), succeeds: found('asset_aliases') },
  'GET /assets/events': { ask: (t) => ({ query: `asset_id=${t.asset}` }), succeeds: found('asset_events') },
  'POST /assets/events': { ask: (t) => ({ body: { asset_id: t.asset, extra: { more: 1 } } }) },
  'POST /assets/:asset_id/materialize': { ask: () => ({ body: {} }) },
  'GET /assets/:asset_id/queuedEvents': { succeeds: found('queued_events') },
  'GET /dags/:dag_id/assets/queuedEvents': { succeeds: found('queued_events') },
  'GET /dags/:dag_id/dagRuns/:dag_run_id/upstreamAssetEvents': { succeeds: found('asset_events') },
  'PUT /assets/:asset_id/state-store/*': { ask: () => ({ body: { value: 'new' } }) },
  [`PUT ${TI}/state-store/*`]: { ask: () => ({ body: { value: 'new' } }) },
  [`PATCH ${TI}/state-store/*`]: { ask: () => ({ body: { value: 'new' } }) },
  [`PATCH ${TI}/:map_index/hitlDetails`]: { ask: () => ({ body: { chosen_options: ['A'] } }) },
  'GET /dags/:dag_id/dagRuns/:dag_run_id/hitlDetails': { succeeds: found('hitl_details') },
  'GET /backfills': { ask: ofDag, succeeds: found('backfills') },
  ...Object.fromEntries(
    ['POST /backfills', 'POST /backfills/dry_run'].map((route) => [
      route,
      {
        ask: (t: Things) => {
          const at = '2024-01-01T00:00:00Z';
          return { body: { dag_id: t.dag, from_date: at, to_date: at } };
        },
        // The own one is found, and has no schedule to fill.
        succeeds: ({ status, text }: Answer) => status === 422 && /non-periodic/.test(text),
      },
    ]),
  ),
  // The own one is found, and has no other place to lead to.
  [`GET ${TI}/externalLogUrl/:try_number`]: { succeeds: ({ text }) => /does not support external logs/.test(text) },
} satisfies Record<string, Case>);
const GROUP = '/dags/:dag_id/dagRuns/:dag_run_id/taskGroupInstances/:group_id';
const STATE_OF_TI = ['', '/:map_index', '/dry_run', '/:map_index/dry_run'].map((end) => `${TI}${end}`);
for (const path of [...STATE_OF_TI, GROUP, `${GROUP}/dry_run`]) {
  CASES[`PATCH ${path}`] = {
    ask: () => ({ body: { new_state: 'success', note: 'x' } }),
  };
}
/** Routes that show nothing which belongs to a team. */
const TEAMLESS = /^GET \/(jobs|plugins|providers|config)(\/|$)/;
async function send(caller: Caller, route: string, things: Things): Promise<Answer> {
  const { query, body } = CASES[route]?.ask?.(things) ?? {};
  const method = route.split(' ')[0]!;
  return caller(method, pathOf(route, things) + (query === undefined ? '' : `?${query}`), body);
}

/** The answer with what names the thing taken out. */
function shape(answer: Answer, things: Things): string {
  return `${answer.status} ${answer.text
    .replaceAll(things.mark, 'MARK_')
    .replaceAll(things.fileToken, 'TOKEN')
    .replace(/(?<![\w.])(?:999\d{3}|\d{1,4})(?![\w.])(?=[`"]| not found)/g, 'ID')}`.replaceAll(
    `Team '${things.team}'`,
    'TEAM',
  );
}

const routes = REST_ROUTES.map((route) => `${route.method} ${route.path}`).filter(
  (name) => !('public' in REST_POLICY[name]!) && !TEAMLESS.test(name),
);
const counted = { attempts: 0, controls: 0 };

for (const [serial, route] of routes.entries()) {
  test(`${route}: a thing of another team is as absent, one of the own team is there`, async () => {
    // Whoever adds a route that is asked with a body says here what to ask.
    assert.ok(CASES[route] || /^(GET|DELETE|PUT) |favorite$/.test(route), `${route} is not described`);
    const b = await makeThings(kit, 'b', serial);
    const own = await makeThings(kit, 'a', serial);
    for (const things of [own, b]) await CASES[route]?.prepare?.(things);
    const before = await fingerprintOfB(db());
    for (const name of [...ROLES.map((role) => `${role}-of-a`), 'op-alone']) {
      const foreign = await send(callers[name]!, route, b);
      assert.doesNotMatch(foreign.text, new RegExp(secretOf('b')), `${name} reads`);
      const missing = await send(callers[name]!, route, namesOf('x', serial));
      // What is made for a team is refused in the same words, whether there is such a team or not.
      assert.equal(shape(foreign, b), shape(missing, namesOf('x', serial)), `${name} can tell it from a missing one`);
      counted.attempts++;
    }
    assert.equal(await fingerprintOfB(db()), before, 'something of team b was written');
    if (CASES[route]?.refusedForAll) return;
    const control = await send(callers['op-of-a']!, route, own);
    const succeeds = CASES[route]?.succeeds ?? (({ status }: Answer) => status < 400);
    assert.ok(succeeds(control), `control: ${control.status} ${control.text}`);
    counted.controls++;
  });
}

test('a Dag of another team is answered with the 404 of a Dag that never was, also where the role would not reach', async () => {
  const b = await makeThings(kit, 'b', 900);
  for (const name of [...ROLES.map((role) => `${role}-of-a`), 'op-alone']) {
    const { status, body } = await callers[name]!('GET', `/dags/${b.dag}`);
    assert.deepEqual([status, body], [404, { detail: `The Dag with ID: \`${b.dag}\` was not found` }], name);
  }
  // A role that does not reach is refused before anything is looked up.
  assert.equal((await callers['viewer-of-a']!('DELETE', `/dags/${b.dag}`)).status, 403);
  assert.equal((await callers['viewer-of-a']!('DELETE', '/dags/absent')).status, 403);
  assert.equal((await callers['viewer-of-b']!('GET', `/dags/${b.dag}`)).status, 200); // control
  assert.equal((await kit.as.admin('GET', `/dags/${b.dag}`)).status, 200);
});

test('a body that names a Dag of another team, below a path that names none, finds nothing of it', async () => {
  const b = await makeThings(kit, 'b', 898);
  const own = await makeThings(kit, 'a', 898);
  const before = await fingerprintOfB(db());
  const asked = (t: Things) => {
    const run = { dag_id: t.dag, dag_run_id: t.run };
    const task = { ...run, task_id: 'task' };
    return [
      ['PATCH', '/dags/~/dagRuns', { actions: [{ action: 'update', entities: [{ ...run, note: 'x' }] }] }],
      [
        'PATCH',
        '/dags/~/dagRuns/~/taskInstances',
        { actions: [{ action: 'update', entities: [{ ...task, note: 'x' }] }] },
      ],
      ['PATCH', '/dags/~/dagRuns/~/taskInstances', { actions: [{ action: 'delete', entities: [task] }] }],
      ['POST', '/dags/~/clearDagRuns', { dag_runs: [run], dry_run: true }],
      ['POST', '/dags/~/clearDagRuns', { dag_runs: [run], dry_run: false }],
      ['PATCH', '/dags/~/dagRuns', { actions: [{ action: 'delete', entities: [run] }] }],
    ] as const;
  };
  const missing = namesOf('x', 898);
  for (const [i, [method, path, body]] of asked(b).entries()) {
    const foreign = await callers['op-of-a']!(method, path, body);
    const absent = await callers['op-of-a']!(method, path, asked(missing)[i]![2]);
    assert.equal(shape(foreign, b), shape(absent, missing), path);
    assert.equal(await fingerprintOfB(db()), before, `${path} wrote`);
  }
  for (const [method, path, body] of asked(own)) {
    const control = await callers['op-of-a']!(method, path, body);
    assert.ok(control.status === 200 && !control.text.includes('"errors":[{'), `${path} ${control.text}`);
  }
});

test('an attempt on a Dag of another team is recorded where its own team reads it', async () => {
  const b = await makeThings(kit, 'b', 899);
  await callers['user-of-a']!('DELETE', `/dags/${b.dag}`);
  const seen = async (name: string) =>
    (await callers[name]!('GET', `/eventLogs?dag_id=${b.dag}&event=delete_dag`)).body.event_logs;
  const [row] = await seen('viewer-of-b');
  assert.deepEqual([row.owner, JSON.parse(row.extra).refused], ['user-of-a', true]);
  assert.deepEqual(await seen('user-of-a'), []);
});

test('source and versions are read by the team that they were stored for, whoever has the Dag now: 0 leaks over three versions', async (t) => {
  const dag = 'b895_versions';
  const store = (source: string) =>
    db().transaction((tx) =>
      ingestParseReport(tx, {
        bundleName: 'bundle-b',
        report: reportOf('b895_versions.ts', [dagDocument(dag, [{ id: 'same' }])], { source: `// ${source}` }),
        nowIso: '2026-06-10T09:30:00.000Z',
        defaults: DEFAULTS,
      }),
    );
  // The bundle's team by configuration: one after the other, with the very same Dag. A run keeps each version.
  const mapped = async (team: string | null) => {
    await db().query(sql`UPDATE dag_bundle SET team = ${team} WHERE name = 'bundle-b'`);
    await db().query(sql`UPDATE dag SET team = ${team} WHERE dag_id = ${dag}`);
    await store(`of-${team}`);
    await db().query(sql`INSERT INTO dag_run (dag_id, run_id, state, run_type, triggered_by, run_after, updated_at, created_version_id)
      SELECT ${dag}, ${`run-${team}`}, 'success', 'manual', 'test', now(), now(), current_version_id FROM dag WHERE dag_id = ${dag}`);
  };
  try {
    for (const team of ['b', null, 'a']) await mapped(team);
    const read = async (name: string) => {
      const own: string[] = [];
      for (const number of [1, 2, 3]) {
        const source = await callers[name]!('GET', `/dagSources/${dag}?version_number=${number}`);
        const one = await callers[name]!('GET', `/dags/${dag}/dagVersions/${number}`);
        assert.equal(source.status, one.status, `${name} ${number}`);
        if (source.status === 200) own.push(source.body.content);
        else assert.doesNotMatch(source.text + one.text, /of-/);
      }
      const list = await callers[name]!('GET', `/dags/${dag}/dagVersions`);
      assert.equal(list.body.total_entries ?? 0, own.length, name);
      return own;
    };
    const [v1, v2, v3] = ['// of-b', '// of-null', '// of-a'];
    assert.deepEqual(await read('viewer-of-a'), [v2, v3]);
    assert.equal((await callers['viewer-of-a']!('GET', `/dagSources/${dag}`)).body.content, v3);
    // Who had it once has lost it with the Dag; who sees all teams sees all versions.
    assert.deepEqual(await read('viewer-of-b'), []);
    const everything = await Promise.all(
      [1, 2, 3].map(async (n) => (await kit.as.admin('GET', `/dagSources/${dag}?version_number=${n}`)).body.content),
    );
    assert.deepEqual(everything, [v1, v2, v3]);
    // And back: the first team gets its own and what was everybody's, not what came between.
    await db().query(sql`UPDATE dag SET team = 'b' WHERE dag_id = ${dag}`);
    assert.deepEqual(await read('viewer-of-b'), [v1, v2]);
    assert.equal((await callers['viewer-of-b']!('GET', `/dagSources/${dag}`)).body.content, v2);
    assert.deepEqual(await read('viewer-of-a'), []);
    t.diagnostic('L32: 3 versions × 4 readers × 4 ways: 0 sources of another team');
  } finally {
    await db().query(sql`UPDATE dag_bundle SET team = 'b' WHERE name = 'bundle-b'`);
    await db().query(sql`DELETE FROM event_log WHERE dag_id = ${dag}`);
  }
});

test('what was recorded of a Dag stays with the team that it had then, whoever has its id later', async () => {
  const { dag } = await makeThings(kit, 'b', 896);
  await callers['op-of-b']!('PATCH', `/dags/${dag}`, { is_paused: true });
  await db().query(sql`UPDATE dag SET team = 'a' WHERE dag_id = ${dag}`);
  await callers['op-of-a']!('PATCH', `/dags/${dag}`, { is_paused: false });
  const owners = async (name: string) => {
    const { body } = await callers[name]!('GET', `/eventLogs?dag_id=${dag}&event=patch_dag`);
    const rows = body.event_logs as Array<{ owner: string; event_log_id: number }>;
    for (const { event_log_id: id } of rows)
      assert.equal((await callers[name]!('GET', `/eventLogs/${id}`)).status, 200);
    return rows.map((row) => row.owner);
  };
  assert.deepEqual(await owners('viewer-of-b'), ['op-of-b']);
  assert.deepEqual(await owners('viewer-of-a'), ['op-of-a']);
  assert.deepEqual(await owners('op-alone'), []);
  // A Dag of nobody is shown to everybody, as it was then.
  await db().query(sql`UPDATE dag SET team = NULL WHERE dag_id = ${dag}`);
  await callers['op-of-a']!('PATCH', `/dags/${dag}`, { is_paused: true });
  assert.deepEqual(await owners('op-alone'), ['op-of-a']);
  // The lists below tell teams by their names.
  await db().query(sql`DELETE FROM event_log WHERE dag_id = ${dag}`);
  await db().query(sql`UPDATE dag SET team = 'b' WHERE dag_id = ${dag}`);
});

test('lists show what the user may see and nothing else, and their totals are that many', async (t) => {
  const lists: Array<[path: string, key: string]> = [
    ['/dags', 'dags'],
    ['/dags/~/dagRuns', 'dag_runs'],
    ['/dags/~/dagRuns/~/taskInstances', 'task_instances'],
    ['/dags/~/dagRuns/~/taskInstances/~/xcomEntries', 'xcom_entries'],
    ['/dags/~/dagVersions', 'dag_versions'],
    ['/dagTags', 'tags'],
    ['/dagWarnings', 'dag_warnings'],
    ['/dagStats', 'dags'],
    ['/variables', 'variables'],
    ['/connections', 'connections'],
    ['/pools', 'pools'],
    ['/importErrors', 'import_errors'],
    ['/eventLogs', 'event_logs'],
  ];
  await makeThings(kit, 'a', 901);
  await makeThings(kit, 'b', 901);
  for (const [path, key] of lists) {
    const page = async (name: string) => (await callers[name]!('GET', `${path}?limit=5000`)).body;
    const [ofA, ofB, alone] = await Promise.all([page('op-of-a'), page('op-of-b'), page('op-alone')]);
    // What somebody did himself he may read, whatever names he used.
    const shown = (body: Record<string, Array<string | { owner?: string }>>, name: string) =>
      JSON.stringify(body[key]!.filter((row) => typeof row === 'string' || row.owner !== name));
    for (const [body, own, other] of [
      [ofA, 'a', 'b'],
      [ofB, 'b', 'a'],
    ] as const) {
      assert.equal(body.total_entries, body[key].length, path);
      const text = shown(body, `op-of-${own}`);
      assert.match(text, new RegExp(`${own}\\d{3}_`), `control: ${path} shows the own team's`);
      assert.doesNotMatch(text, new RegExp(`"${other}\\d{3}_|secret-of-${other}`), path);
    }
    assert.doesNotMatch(shown(alone, 'op-alone'), /[ab]\d{3}_|secret-of/, path);
    const all = (await kit.as.admin('GET', `${path}?limit=5000`)).body;
    assert.match(JSON.stringify(all), /secret-of-a|a\d{3}_/);
    assert.match(JSON.stringify(all), /secret-of-b|b\d{3}_/);
    // A cursor page and its total are cut the same way.
    if (path.includes('~/dagRuns') && !path.includes('xcom')) {
      const first = (await callers['op-of-a']!('GET', `${path}?cursor=&limit=5000`)).body;
      assert.doesNotMatch(JSON.stringify(first), /"b\d{3}_/);
      assert.equal(first.total_entries, ofA.total_entries);
    }
  }
  t.diagnostic(`lists ${lists.length} x 3 readers: 0 rows of another team`);
});

test('what belongs to no team is for every role that reaches, as without teams', async () => {
  const made = await callers['op-alone']!('POST', '/variables', { key: 'shared', value: 'for all', team_name: null });
  assert.deepEqual([made.status, made.body.team_name], [201, null]);
  for (const name of ['op-of-a', 'op-of-b']) {
    assert.equal((await callers[name]!('GET', '/variables/shared')).body.value, 'for all');
  }
  assert.equal((await callers['viewer-of-a']!('GET', '/variables/shared')).status, 403); // control: the role counts as ever
});

test('each team may have its own variable of one key: the own comes first, and team_name in the query picks', async () => {
  const { admin } = kit.as;
  for (const [team, value] of [
    [null, 'shared'],
    ['a', 'of a'],
    ['b', 'of b'],
  ]) {
    assert.equal((await admin('POST', '/variables', { key: 'both', value, team_name: team })).status, 201);
  }
  const read = async (name: string, query = '') => (await callers[name]!('GET', `/variables/both${query}`)).body.value;
  assert.equal(await read('op-of-a'), 'of a');
  assert.equal(await read('op-of-b'), 'of b');
  assert.equal(await read('op-alone'), 'shared');
  assert.equal(await read('op-of-a', '?team_name='), 'shared');
  assert.equal(await read('op-of-a', '?team_name=b'), undefined);
  assert.equal((await admin('GET', '/variables/both?team_name=b')).body.value, 'of b'); // control
  // Removing goes by the same rule, so that nobody removes what he was not shown.
  assert.equal((await callers['op-of-a']!('DELETE', '/variables/both')).status, 204);
  assert.equal(await read('op-of-a'), 'shared');
  assert.equal(await read('op-of-b'), 'of b');
});

test('nothing is put into a team by a stranger, whether the team exists or not, and unknown teams are named to admins', async () => {
  const body = (team: string) => ({ key: 'put', value: 'x', team_name: team });
  for (const team of ['b', 'nowhere']) {
    const answer = await callers['op-of-a']!('POST', '/variables', body(team));
    assert.deepEqual([answer.status, answer.body], [403, { detail: 'Forbidden' }]);
  }
  const unknown = await kit.as.admin('POST', '/variables', body('nowhere'));
  assert.deepEqual([unknown.status, unknown.body.detail], [400, "Team 'nowhere' does not exist"]);
  assert.equal((await callers['op-of-a']!('POST', '/variables', body('a'))).status, 201); // control
  // Moving asks for both ends: away from the own team into another's is refused, null alone moves nothing.
  const move = (team: string | null, mask = '') =>
    callers['op-of-a']!('PATCH', `/variables/put${mask}`, { ...body(''), team_name: team });
  assert.equal((await move('b')).status, 403);
  assert.equal((await move(null)).body.team_name, 'a');
  assert.equal((await move(null, '?update_mask=team_name')).body.team_name, null); // control
});

test('a membership counts from the next request on, and its end does', async () => {
  await createTeam(kit.deps, 'test', 'c');
  await kit.as.admin('POST', '/variables', { key: 'of_c', value: 'x', team_name: 'c' });
  const get = () => callers['op-alone']!('GET', '/variables/of_c').then(({ status }) => status);
  assert.equal(await get(), 404);
  const member = { account: 'op-alone', team: 'c' };
  await joinTeam(kit.deps, 'test', member);
  assert.equal(await get(), 200);
  await leaveTeam(kit.deps, 'test', member);
  assert.equal(await get(), 404);
});

test('figures', (t) => {
  t.diagnostic(
    `team matrix: ${counted.attempts} attempts on ${routes.length} routes, 0 reads, 0 writes; ${counted.controls} controls`,
  );
  assert.ok(
    counted.controls === routes.filter((route) => !CASES[route]?.refusedForAll).length &&
      counted.attempts === routes.length * 4,
  );
});
