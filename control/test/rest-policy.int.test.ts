/**
 * Each role against each route. What is expected is written down here by hand, apart from the table that the server uses;
 * a route that nobody classified here fails.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { REST_ROUTES } from '../src/api/rest/index.ts';
import { REST_POLICY } from '../src/api/rest/policy.ts';
import { checkPolicy } from '../src/api/rest/route.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
before(async () => {
  kit = await restKit({ config: { AIRLOCK__API__EXPOSE_CONFIG: 'True' } });
});
after(() => kit[Symbol.asyncDispose]());

const ROLES = ['viewer', 'user', 'op', 'admin'] as const;
type Role = (typeof ROLES)[number];

/** Least role per route; null = no credential needed. First match counts. */
const LEAST: Array<[pattern: RegExp, least: Role | null]> = [
  [/^GET \/(version|monitor\/health|auth\/login)$/, null],
  [/^(GET|POST) \/auth\/logout$/, null],
  [/^GET \/(variables|connections)(\/|$)/, 'op'],
  [/^(POST|PATCH|DELETE) \/(variables|connections|pools)(\/|$)/, 'op'],
  [/^GET \/(plugins|providers|pools|importErrors|eventLogs|jobs|config)(\/|$)/, 'viewer'],
  [/^GET \/(dagTags|dagSources|dagStats|dagWarnings)(\/|$)/, 'viewer'],
  [/^GET \/assets(\/|$)/, 'viewer'],
  [/^(POST|PATCH|PUT|DELETE) \/assets(\/|$)/, 'op'],
  [/^DELETE \/dags\/:dag_id\/assets\//, 'op'],
  // Lists that are asked for with a body only read.
  [/^POST \/dags\/:dag_id\/dagRuns(\/:dag_run_id\/taskInstances)?\/list$/, 'viewer'],
  [/^POST \/dags\/:dag_id\/(un)?favorite$/, 'viewer'],
  [/^PUT \/parseDagFile\//, 'user'],
  [/^GET \/backfills(\/|$)/, 'viewer'],
  [/^(POST|PUT) \/backfills(\/|$)/, 'user'],
  [/^GET \/dags(\/|$)/, 'viewer'],
  [/^(POST|PATCH|PUT|DELETE) \/dags(\/|$)/, 'user'],
];

const names = REST_ROUTES.map((route) => `${route.method} ${route.path}`);

test('the expectations cover every route, and every route has its row', () => {
  assert.ok(names.length > 50);
  for (const name of names)
    assert.ok(
      LEAST.some(([pattern]) => pattern.test(name)),
      `${name} is not classified`,
    );
  checkPolicy(REST_ROUTES, REST_POLICY);
});

test('a route without a row, a row without a route, and a route mounted twice stop the boot', () => {
  const { 'GET /pools': _gone, ...less } = REST_POLICY;
  assert.throws(() => checkPolicy(REST_ROUTES, less), /GET \/pools/);
  assert.throws(() => checkPolicy(REST_ROUTES, { ...REST_POLICY, 'GET /ghost': { public: true } }), /GET \/ghost/);
  assert.throws(() => checkPolicy([...REST_ROUTES, REST_ROUTES[0]!], REST_POLICY), /twice/);
});

for (const name of names) {
  test(`${name}: exactly the roles that may`, async () => {
    const least = LEAST.find(([pattern]) => pattern.test(name))![1];
    const [method, path] = name.split(' ') as [string, string];
    // Nothing of these names exists: who may pass gets 200, 404, 400 or 422, but never a refusal.
    const url = `/api/v2${path}`
      .replace('/*', '/absent')
      .replace(/:(map_index|try_number|task_try_number|version_number|\w+_id)/g, (_, key) =>
        /index|number|(import_error|event_log)_id/.test(key) ? '1' : 'absent',
      );
    const body = method === 'GET' || method === 'DELETE' ? undefined : {};
    const without = await kit.anonymous(method, url, body);
    if (least === null) assert.ok(without.status < 400, `${without.status}`);
    else assert.deepEqual([without.status, without.body], [401, { detail: 'Not authenticated' }]);
    for (const role of ROLES) {
      // A log-out would end the caller's own token.
      if (path === '/auth/logout') continue;
      const answer = await kit.as[role](method, url, body);
      const may = least === null || ROLES.indexOf(role) >= ROLES.indexOf(least);
      const isTest = path.endsWith('-test') || path.endsWith('/test'); // refused for everybody, in other words
      if (!may) assert.deepEqual([answer.status, answer.body], [403, { detail: 'Forbidden' }], role);
      else if (isTest) assert.notDeepEqual(answer.body, { detail: 'Forbidden' });
      else
        assert.ok(
          answer.status !== 401 && answer.status !== 403 && answer.status < 500,
          `${role} got ${answer.status}`,
        );
    }
  });
}

test('each refusal was recorded before its answer left', async () => {
  const rows = await kit.database.db.query<{ owner: string; n: number }>(
    sql`SELECT owner, count(*)::int AS n FROM event_log WHERE extra LIKE '%"refused":true%' GROUP BY owner`,
  );
  const refusedFor = (role: Role) =>
    names.filter((name) => {
      const least = LEAST.find(([pattern]) => pattern.test(name))![1];
      return least !== null && ROLES.indexOf(role) < ROLES.indexOf(least);
    }).length;
  for (const role of ['viewer', 'user'] as const) {
    assert.equal(rows.find((row) => row.owner === role)?.n, refusedFor(role), role);
  }
  // What a handler refuses counts too: here the two tests of a connection, which are off.
  assert.equal(rows.find((row) => row.owner === 'op')?.n, 2);
});
