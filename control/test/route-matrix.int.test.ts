/**
 * Every route of both APIs meets every identity, over HTTP, on a server process as production runs it, with teams on. What it
 * answers is compared, cell by cell, with docs/security/route-matrix.md.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { TRIGGER_TRY_HEADER } from '@airlock/contract/supervisor-api';
import { sql } from '@airlock/store';
import { type Replicas, startReplicas } from '../../tests/kit/replicas.ts';
import { SIGNING_KEY_FILE } from '../../token-sign/src/index.ts';
import { type Cell, expectedMatrix, IDENTITIES, type IdentityName, namesOne } from '../../tools/docs/route-matrix.ts';
import { createAccount } from '../src/api/auth/accounts.ts';
import { LOGIN_POLICY } from '../src/api/auth/policy.ts';
import { EXECUTION_POLICY, SELF_PARAMETERS } from '../src/api/execution/policy.ts';
import { createTokenMinter, type TokenMinter } from '../src/tokens/minter.ts';
import { forge, type Key, newKey } from './execution/proofs.ts';
import { createScene, type Scene, type Try } from './execution/scene.ts';
import { makeTeams, makeThings, pathOf, type Things } from './kit/teams.ts';

const NAMES = Object.keys(IDENTITIES) as IdentityName[];
const PEOPLE = ['viewer', 'user', 'op', 'admin', 'foreign'] as const;
type Person = (typeof PEOPLE)[number];
const isPerson = (who: IdentityName): who is Person => (PEOPLE as readonly string[]).includes(who);

const PASSWORD = 'a long one that nobody else has';

let cluster: Replicas;
let scene: Scene;
let minter: TokenMinter;
let signingKey: KeyObject;
let origin: string;
/** Tries: the one that asks about itself, one of another Dag, one that has ended and will be tried again under another id, one that waits for a trigger. */
let tries: { self: Try; other: Try; ended: Try; waiting: Try };
let host: Awaited<ReturnType<Scene['joinWorker']>>;
/** What team a has, for the stranger to ask for. */
let things: Things;
/** Held by the Execution API's identities. */
let held: Partial<Record<IdentityName, { token: string; key: Key }>>;

const jti = () => randomBytes(16).toString('hex');
const userToken = (who: Person) => minter.mint('user', { sub: `the-${who}`, jti: jti(), ttlSeconds: 600 });

/** A token by our own key that differs from a right one in these claims. */
function altered(token: string, over: object): string {
  const [header, claims] = token.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  return forge(header, { ...claims, ...over }, signingKey);
}
const longAgo = () => ({ iat: scene.nowSeconds() - 200, nbf: scene.nowSeconds() - 200, exp: scene.nowSeconds() - 100 });

const testId: string = randomUUID();
/** A queued test of a connection, and the workload token of its worker. */
async function connectionTest() {
  const [name, key] = [jti(), newKey()];
  await cluster.database.db.query(sql`INSERT INTO connection_test (id, conn_id, conn_type, is_encrypted, state, timeout_seconds,
      created_at, workload_jti)
    VALUES (${testId}, 'tested', 'http', false, 'queued', 60, ${new Date().toISOString()}, ${name})`);
  return { key, token: await minter.mint('workload', { sub: testId, jti: name, ttlSeconds: 600, jkt: key.jkt }) };
}
/**
 * A token with the times of one that was issued so long ago, for the moment of its use: however long the other cells took.
 * Renewal of an execution token is due from second 240 on, so whatever renews where it must not is seen.
 */
function aged(token: string, seconds: number): string {
  const iat = scene.nowSeconds() - seconds;
  return altered(token, { iat, nbf: iat, exp: iat + 300 });
}
const IN_TIME: readonly IdentityName[] = [
  'workload',
  'test',
  'self',
  'other',
  'ended',
  'worker',
  'parse',
  'trigger',
  'waiting',
];
const IS_DUE: readonly IdentityName[] = ['self', 'other', 'ended'];
/** What an identity of the Execution API sends. */
function heldBy(who: IdentityName): { token: string; key: Key } {
  const { token, key } = held[who]!;
  return { key, token: IN_TIME.includes(who) ? aged(token, IS_DUE.includes(who) ? 250 : 0) : token };
}

/** Defers a try. @returns the triggerer that has taken its trigger */
async function waitOnTrigger({ id, key, token }: Try) {
  const deferred = { state: 'deferred', classpath: 'a.B', next_method: 'm' };
  await scene.call('PATCH', `/task-instances/${id}/state`, { key, token, json: deferred });
  const triggerer = await scene.joinWorker(['trigger']);
  const send = { key: triggerer.key, token: triggerer.tokens.trigger! };
  const json = { holds: [], slots: 1, queues: null, wait_seconds: 0 };
  const taken = await scene.call('POST', '/triggers/sync', { ...send, json });
  assert.equal(taken.json<{ run: Array<{ ti: { id: string } }> }>().run[0]?.ti.id, id);
  return triggerer;
}

before(async () => {
  cluster = await startReplicas({
    count: 1,
    env: { AIRLOCK__CORE__MULTI_TEAM: 'True', AIRLOCK__API__EXPOSE_CONFIG: 'True' },
  });
  const { db } = cluster.database;
  origin = cluster.replicas[0]!.url();
  scene = createScene({ db, base: `${origin}/execution`, nowMs: Date.now });
  minter = createTokenMinter({ socketPath: cluster.tokenSocket, clock: systemClock });
  signingKey = createPrivateKey(readFileSync(join(cluster.home, 'keys/signing', SIGNING_KEY_FILE)));
  const deps = { db, clock: systemClock };
  for (const role of ['viewer', 'user', 'op', 'admin'] as const)
    await createAccount(deps, 'test', { name: `the-${role}`, role, password: null });
  await createAccount(deps, 'test', { name: 'the-foreign', role: 'op', password: null });
  await createAccount(deps, 'test', { name: 'with-password', role: 'viewer', password: PASSWORD });
  await makeTeams(db);
  await db.query(sql`INSERT INTO account_team (account, team) VALUES ('the-foreign', 'b'), ('the-op', 'a')`);

  const needs = { needs: { variables: ['v'] } };
  tries = {
    self: await scene.startTry(needs, await scene.seedRun('dag_a', 'a')),
    other: await scene.startTry(needs, await scene.seedRun('dag_b', 'b')),
    ended: await scene.startTry({ ...needs, maxTries: 2 }, await scene.seedRun('dag_c', 'a')),
    waiting: await scene.startTry(needs, await scene.seedRun('dag_d', 'a')),
  };
  const { id, key, token } = tries.ended;
  const json = { state: 'up_for_retry', end_date: '2026-07-01T00:00:00Z' };
  await scene.call('PATCH', `/task-instances/${id}/state`, { key, token, json });
  things = await makeThings({ database: cluster.database, logFolder: join(cluster.home, 'logs') }, 'a', 1);
  host = await scene.joinWorker(['worker', 'parse', 'trigger']);
  const triggerer = await waitOnTrigger(tries.waiting);
  held = {
    expired: { token: altered(tries.self.token, longAgo()), key: tries.self.key },
    audience: { token: altered(tries.self.token, { aud: 'urn:another' }), key: tries.self.key },
    workload: { token: tries.self.workload.token, key: tries.self.key },
    test: await connectionTest(),
    self: tries.self,
    other: tries.other,
    ended: tries.ended,
    worker: { token: host.tokens.worker!, key: host.key },
    parse: { token: host.tokens.parse!, key: host.key },
    trigger: { token: host.tokens.trigger!, key: host.key },
    waiting: { token: triggerer.tokens.trigger!, key: triggerer.key },
  };
});
after(async () => {
  minter?.close();
  await cluster?.[Symbol.asyncDispose]();
});

/** A route's path with something for each parameter. */
function fill(path: string, named: Readonly<Record<string, string>>): string {
  return path
    .replace('/*', '/absent')
    .replace(
      /:(\w+)/g,
      (_, name: string) => named[name] ?? (/index|number|(^|_)(event|import|backfill|log)/.test(name) ? '1' : 'absent'),
    );
}
const hasBody = (method: string) => method !== 'GET' && method !== 'HEAD' && method !== 'DELETE';

/** Compares two tables. @returns the cells that differ, told so that they can be found */
async function differences(
  expected: ReadonlyMap<string, readonly Cell[]>,
  observe: (
    method: string,
    path: string,
    who: IdentityName,
    expected: Cell,
  ) => Promise<{ cell: Cell | string; status: number }>,
): Promise<{ wrong: string[]; cells: number; statuses: Map<number, number> }> {
  const wrong: string[] = [];
  const statuses = new Map<number, number>();
  let cells = 0;
  for (const [route, row] of expected) {
    const [method, path] = route.split(' ') as [string, string];
    await Promise.all(
      NAMES.map(async (who, n) => {
        const { cell, status } = await observe(method, path, who, row[n]!);
        cells++;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (cell !== row[n])
          wrong.push(`${route} by ${IDENTITIES[who]}: ${row[n]} expected, ${cell} (${status}) observed`);
        if (status >= 500) wrong.push(`${route} by ${IDENTITIES[who]}: ${status}`);
      }),
    );
  }
  return { wrong, cells, statuses };
}

const restToken = async (who: IdentityName): Promise<string | null> => {
  if (who === 'nobody') return null;
  if (who === 'garbage') return 'a.b.c';
  if (who === 'expired') return altered(await userToken('admin'), longAgo());
  if (who === 'audience') return altered(await userToken('admin'), { aud: 'urn:another' });
  return isPerson(who) ? await userToken(who) : held[who]!.token;
};
const send = async (method: string, path: string, token: string | null, body: object = {}, base = '/api/v2') => {
  const response = await fetch(`${origin}${base}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(hasBody(method) ? { 'content-type': 'application/json' } : {}),
    },
    ...(hasBody(method) ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, code: response.headers.get('airlock-error'), text: await response.text() };
};

/** The path of a thing of team a, also where a list takes any Dag. */
const theirs = (method: string, path: string): string =>
  pathOf(`${method} ${path}`, things).replace(/^\/dags\/~/, `/dags/${things.dag}`);

describe('the matrix of routes and identities', () => {
  test('REST API: each cell is answered as the page says', async () => {
    const { wrong, cells, statuses } = await differences(expectedMatrix.rest, async (method, path, who) => {
      // Nothing of these names exists, so that nobody changes anything; only the stranger asks for what is there.
      const at = who === 'foreign' && namesOne(`${method} ${path}`) ? theirs(method, path) : fill(path, {});
      const { status, code, text } = await send(
        method,
        at,
        await restToken(who),
        who === 'foreign' ? CHANGES[path]?.(things) : {},
      );
      // Let in, and told that this server tests no connections.
      const isOff = status === 403 && text.includes('Testing connections is disabled');
      const cell = status === 401 || (status === 403 && !isOff) ? String(status) : 'yes';
      return {
        cell: who === 'foreign' && namesOne(`${method} ${path}`) && code === 'NOT_FOUND' ? '404' : cell,
        status,
      };
    });
    show('REST', cells, statuses, wrong);
    assert.deepEqual(wrong, []);

    // The control of the stranger: an op of the Dag's own team is shown it.
    for (const at of [
      '/dags/dag_a',
      '/dags/dag_a/details',
      '/dags/dag_a/dagRuns',
      `/dags/dag_a/dagRuns/${tries.self.run.runId}`,
      ...['variables/*', 'connections/:connection_id', 'pools/*', 'assets/:asset_id', 'backfills/:backfill_id'].map(
        (path) => theirs('GET', `/${path}`),
      ),
      theirs('GET', '/importErrors/:import_error_id'),
      theirs('GET', '/eventLogs/:event_log_id'),
    ]) {
      assert.equal((await send('GET', at, await userToken('op'))).status, 200, at);
      assert.equal((await send('GET', at, await userToken('foreign'))).status, 404, at);
    }
  });

  test('the routes of the web page: each cell is answered as the page says', async () => {
    const { wrong, cells, statuses } = await differences(expectedMatrix.ui, async (method, path, who) => {
      const { status } = await send(method, path, await restToken(who), {}, '/ui');
      return { cell: status === 401 || status === 403 ? String(status) : 'yes', status };
    });
    show('/ui', cells, statuses, wrong);
    assert.deepEqual(wrong, []);
  });

  test('log-in: no token makes a difference, the right name and password do', async () => {
    const page = { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' };
    const ask = async (method: string, path: string, token: string | null, given: Record<string, string>) => {
      const isPage = path === '/auth/login';
      const response = await fetch(`${origin}${path.replace('*', 'login')}`, {
        method,
        redirect: 'manual',
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}`, cookie: `_token=${token}` }),
          ...(method === 'GET' ? {} : isPage ? page : { 'content-type': 'application/json' }),
        },
        ...(method === 'GET' ? {} : { body: isPage ? new URLSearchParams(given) : JSON.stringify(given) }),
      });
      const text = await response.text();
      return { status: response.status, got: text.includes('access_token') || response.headers.has('set-cookie') };
    };
    const nobody = { username: '', password: '' };
    const { wrong, cells, statuses } = await differences(expectedMatrix.login, async (method, path, who) => {
      const { status, got } = await ask(method, path, await restToken(who), nobody);
      const cell = got ? 'a token' : status === 403 ? '403' : status >= 400 && status < 500 ? 'password' : 'yes';
      return { cell, status };
    });
    show('log-in', cells, statuses, wrong);
    assert.deepEqual(wrong, []);

    // The control: the same requests with the right password, also beside a token that is none.
    for (const [route, decides] of Object.entries(LOGIN_POLICY)) {
      if (decides !== 'password') continue;
      for (const token of [null, 'a.b.c']) {
        const [method, path] = route.split(' ') as [string, string];
        const { status, got } = await ask(method, path, token, { username: 'with-password', password: PASSWORD });
        assert.deepEqual([got, status], [true, path === '/auth/login' ? 303 : 201], route);
      }
    }
  });

  test('Execution API: each cell is answered as the page says, and renews a token that is due only where it lets a try in', async () => {
    const unfit: string[] = [];
    let renewals = 0;
    const paths: Partial<Record<IdentityName, string>> = {
      other: tries.self.id,
      ended: tries.ended.id,
      waiting: tries.waiting.id,
    };
    const { wrong, cells, statuses } = await differences(
      expectedMatrix.execution,
      async (method, path, who, expected) => {
        const row = EXECUTION_POLICY[`${method} ${path}`]!;
        const own = paths[who] ?? tries.self.id;
        const named: Record<string, string> = {
          ...Object.fromEntries(SELF_PARAMETERS.map((name) => [name, randomUUID()])),
          task_instance_id: own,
          supervisor_id: host.id,
          connection_test_id: testId,
          bundle_name: 'bundle-a',
          dag_id: tries.other.run.dagId,
          run_id: tries.other.run.runId,
          task_id: 'extract',
        };
        const version = row.servedIn?.until ?? row.servedIn?.since;
        const caller = isPerson(who)
          ? { token: await userToken(who) }
          : who === 'garbage'
            ? { token: 'a.b.c' }
            : who === 'nobody'
              ? {}
              : heldBy(who);
        const answer = await scene.call(method, fill(path, named), {
          ...caller,
          ...(hasBody(method) ? { json: (expected === 'ended' && REPORTS[path]) || {} } : {}),
          headers: {
            ...(version === undefined ? {} : { 'airflow-api-version': version }),
            ...(who === 'waiting' ? { [TRIGGER_TRY_HEADER]: own } : {}),
          },
        });
        const where = `${method} ${path} by ${IDENTITIES[who]}: ${answer.status}`;
        const mayRenew = answer.status < 300 && Array.isArray(row.tokens) && (who === 'self' || who === 'other');
        if (answer.headers.has('refreshed-api-token') !== mayRenew) unfit.push(where);
        else if (mayRenew) renewals++;
        return { cell: cellOf(answer.status, answer.headers.get('airlock-error'), expected), status: answer.status };
      },
    );
    show('Execution API', cells, statuses, wrong);
    process.stdout.write(`Execution API: ${renewals} renewals, all of them where a live try was answered well\n`);
    assert.deepEqual(wrong, []);
    assert.deepEqual(unfit, [], 'renewed where nothing was authorised, or not renewed where it was due');
    assert.ok(renewals > 0);
    assert.ok(cells >= 300);
  });

  test('the page is not empty: each kind of cell and each column says something', () => {
    for (const matrix of [expectedMatrix.rest, expectedMatrix.execution]) {
      for (const [n, who] of NAMES.entries()) {
        const column = new Set([...matrix.values()].map((row) => row[n]));
        assert.ok(column.has('yes'), `${who} may nothing at all`);
        // On the REST API an op may whatever there is a route for, and an admin everything.
        if (!['op', 'admin'].includes(who) || matrix === expectedMatrix.execution)
          assert.ok(column.size > 1, `${who} is never refused`);
      }
    }
  });
});

/** Changes that the own team could make: whoever sends something unfit is told that before anything is looked up. */
const CHANGES: Readonly<Record<string, (t: Things) => object>> = {
  '/variables/*': (t) => ({ key: t.variable, value: 'x' }),
  '/connections/:connection_id': (t) => ({ connection_id: t.connection, conn_type: 'ftp' }),
  '/pools/*': (t) => ({ name: t.pool, slots: 9, include_deferred: false }),
  '/assets/:asset_id/state-store/*': () => ({ value: 1 }),
};
/** Bodies that a live try would be answered well for. Empty ones pass no check, so that nobody who gets through changes anything. */
const TRY = '/task-instances/:task_instance_id';
const REPORTS: Readonly<Record<string, object>> = {
  [`${TRY}/run`]: {
    state: 'running',
    hostname: 'worker-1',
    unixname: 'airflow',
    pid: 4242,
    start_date: '2026-07-01T00:00:00Z',
  },
  [`${TRY}/state`]: { state: 'success', end_date: '2026-07-01T00:00:00Z' },
  [`${TRY}/heartbeat`]: { hostname: 'worker-1', pid: 4242 },
  [`${TRY}/rtif`]: { field: 'value' },
};

/** What an answer of the Execution API amounts to; where several are possible, whether it is the one that is expected. */
function cellOf(status: number, code: string | null, expected: Cell): Cell | string {
  if (expected === 'rights')
    return status === 401 || (status === 403 && code !== 'NOT_ENTITLED') ? String(status) : 'rights';
  if (expected === 'ended') return [404, 410].includes(status) ? 'ended' : String(status);
  if (expected === 'ticket') return status === 403 && code === 'TOKEN_INVALID' ? 'ticket' : String(status);
  return status === 401 || status === 403 ? String(status) : 'yes';
}

function show(api: string, cells: number, statuses: ReadonlyMap<number, number>, wrong: readonly string[]): void {
  const counted = [...statuses].sort(([a], [b]) => a - b).map(([status, n]) => `${n} × ${status}`);
  process.stdout.write(`${api}: ${cells} cells, ${wrong.length} unexpected (${counted.join(', ')})\n`);
}
