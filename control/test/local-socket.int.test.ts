/** The operator socket: who gets in, what is recorded, and what it can do. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Sql, sql } from '@airlock/store';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { FastifyInstance } from 'fastify';
import { createHttpServer } from '../src/api/http/server.ts';
import { createLocalGate, listenLocally, operatorName } from '../src/api/local/socket.ts';
import { registerSupervisorRoutes } from '../src/api/local/supervisors.ts';
import { registerTeamRoutes } from '../src/api/local/teams.ts';
import { registerUserRoutes } from '../src/api/local/users.ts';
import { mountRest } from '../src/api/rest/index.ts';
import { type Witness, watchAudit } from './kit/witness.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let folder: string;
let witness: Witness;
let app: FastifyInstance;
const socket = () => join(folder, 'control.sock');

async function listenOn(path: string): Promise<FastifyInstance> {
  const gate = createLocalGate([]);
  const server = createHttpServer(kit.deps);
  gate.guard(server);
  mountRest(server, kit.deps, gate.identify);
  registerUserRoutes(server, kit.deps, gate.identify);
  registerTeamRoutes(server, kit.deps, gate.identify);
  registerSupervisorRoutes(server, kit.deps, gate.identify);
  await listenLocally(server, path);
  return server;
}

before(async () => {
  kit = await restKit();
  witness = await watchAudit(kit.database);
  folder = mkdtempSync(join(tmpdir(), 'airlock-sock-'));
  app = await listenOn(socket());
});
after(async () => {
  await app.close();
  await witness.close();
  await kit[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function call(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> & { users: Array<Record<string, unknown>> } }> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request(
      {
        socketPath: socket(),
        method,
        path,
        headers: payload === undefined ? {} : { 'content-type': 'application/json' },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk) => {
          text += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

test('the socket is for its owner alone, from its first moment', () => {
  assert.equal(statSync(socket()).mode & 0o777, 0o600);
});

test('the REST API answers there without a token, as an administrator named after the operator', async () => {
  const made = await call('POST', '/api/v2/variables', { key: 'by_operator', value: 'x' });
  assert.equal(made.status, 201);
  const { body } = await kit.as.admin('GET', '/eventLogs?event=post_variable&order_by=-id&limit=1');
  assert.equal(body.event_logs[0].owner, operatorName(process.getuid!()));
  assert.match(body.event_logs[0].owner, /^local:/);
});

test('accounts are made, listed, changed and removed, and each step is recorded as the operator', async () => {
  const made = await call('POST', '/local/users', { name: 'carol', role: 'user', password: 'a long enough one' });
  assert.equal(made.status, 201);
  assert.deepEqual(
    [made.body.role, made.body.disabled, made.body.has_password, 'password_hash' in made.body],
    ['user', false, true, false],
  );
  assert.equal(
    (await call('POST', '/local/users', { name: 'carol', role: 'user', password: 'a long enough one' })).status,
    409,
  );
  const log = await kit.anonymous('POST', '/auth/token', { username: 'carol', password: 'a long enough one' });
  assert.equal(log.status, 201);
  assert.equal((await call('PATCH', '/local/users/carol', { role: 'op', disabled: true })).body.disabled, true);
  assert.equal(
    (await kit.anonymous('POST', '/auth/token', { username: 'carol', password: 'a long enough one' })).status,
    401,
  );
  assert.equal((await call('POST', '/local/users/carol/password', { password: 'another long one' })).status, 200);
  assert.equal((await call('POST', '/local/users/carol/revoke-tokens')).status, 200);
  const names = (await call('GET', '/local/users')).body.users.map((user) => user.name);
  assert.ok(names.includes('carol') && names.includes('admin'));
  assert.equal((await call('DELETE', '/local/users/carol')).status, 204);
  assert.equal((await call('GET', '/local/users/carol')).status, 404);
  const { body } = await kit.as.admin('GET', '/eventLogs?owner_pattern=local&limit=100');
  const events = body.event_logs.map((row: { event: string }) => row.event);
  for (const event of [
    'create_user',
    'set_user_role',
    'disable_user',
    'reset_password',
    'revoke_user_tokens',
    'delete_user',
  ]) {
    assert.ok(events.includes(event), event);
  }
});

test('bad input is refused in words', async () => {
  const refused = async (method: string, path: string, body: unknown, status: number) =>
    assert.equal((await call(method, path, body)).status, status, `${path} ${JSON.stringify(body)}`);
  await refused('POST', '/local/users', { name: 'x', role: 'god', password: 'a long enough one' }, 422);
  await refused('POST', '/local/users', { name: 'a/b', role: 'user', password: 'a long enough one' }, 422);
  await refused('POST', '/local/users', { name: 'x', role: 'user', password: 'short' }, 422);
  await refused('POST', '/local/users', { name: 'x', role: 'user', more: 1 }, 422);
  await refused('PATCH', '/local/users/nobody', { disabled: true }, 404);
  await refused('POST', '/local/users/nobody/password', { password: 'a long enough one' }, 404);
  await refused('DELETE', '/local/users/nobody', undefined, 404);
});

test('the last admin stays, and the answer says what to do', async () => {
  for (const [method, body] of [
    ['PATCH', { disabled: true }],
    ['PATCH', { role: 'op' }],
    ['DELETE', undefined],
  ] as const) {
    const answer = await call(method, '/local/users/admin', body);
    assert.deepEqual(
      [answer.status, answer.body.detail],
      [409, 'admin is the last user who can administer this server.'],
    );
  }
  assert.equal((await call('PATCH', '/local/users/admin', { role: 'admin', disabled: false })).status, 200); // control
});

test('the routes of operators do not exist on the network', async () => {
  const answer = await fetch(`${kit.base}/local/users`);
  assert.equal(answer.status, 404);
});

const ROOT_ONLY = process.getuid?.() === 0 ? {} : { skip: 'needs root to be another user' };

test('another user is cut off even where the file would let it in', ROOT_ONLY, async () => {
  chmodSync(folder, 0o755);
  chmodSync(socket(), 0o666);
  const script = `require('http').get({ socketPath: ${JSON.stringify(socket())}, path: '/api/v2/version' }, (r) => r.destroy() && console.log(r.statusCode))
    .on('error', (e) => console.log(e.code))`;
  const ask = async (uid: number): Promise<string> => {
    // A copy of Node that this user may run: the installed one may lie in a home that only root can enter.
    const child = spawn(node, ['-e', script], {
      uid,
      gid: uid,
      cwd: '/',
      env: {},
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    for await (const chunk of child.stdout) text += chunk;
    return text.trim();
  };
  const node = join(folder, 'node');
  copyFileSync(process.execPath, node);
  chmodSync(node, 0o755);
  assert.match(await ask(65_534), /^E(CONNRESET|PIPE)$/);
  assert.equal(await ask(0), '200'); // control
});

test('a socket that a dead server left is replaced, and a living one is not', async () => {
  const path = join(folder, 'second.sock');
  const first = await listenOn(path);
  await assert.rejects(listenOn(path), { code: 'PORT_IN_USE' });
  await first.close();
  const again = await listenOn(path);
  await again.close();
});

test('teams are made, filled, listed and removed, never while something belongs to them, and each step is recorded', async () => {
  const status = async (method: string, path: string, body?: unknown) => (await call(method, path, body)).status;
  assert.equal(await status('POST', '/local/teams', { name: 'blue' }), 201);
  assert.equal(await status('POST', '/local/teams', { name: 'blue' }), 409);
  for (const name of ['', 'with space', 'x'.repeat(51), 'ü']) {
    assert.equal(await status('POST', '/local/teams', { name }), 422, name);
  }
  assert.equal(await status('PUT', '/local/teams/blue/users/viewer'), 204);
  assert.equal(await status('PUT', '/local/teams/blue/users/viewer'), 204, 'again changes nothing');
  assert.equal(await status('PUT', '/local/teams/blue/users/nobody'), 404);
  assert.equal(await status('PUT', '/local/teams/red/users/viewer'), 404);
  const listed = async () => ((await call('GET', '/local/teams')).body as unknown as { teams: unknown[] }).teams;
  assert.deepEqual(await listed(), [{ name: 'blue', bundles: [], users: ['viewer'] }]);
  // The test's own change, with a row of the log as the server's changes have one.
  const own = (change: Sql) =>
    kit.database.db.transaction(async (tx) => {
      await insertEventLog(tx, { nowIso: new Date().toISOString(), event: 'test', owner: 'test', extra: null });
      await tx.query(change);
    });
  await own(sql`INSERT INTO variable (team, key, val) VALUES ('blue', 'k', 'v')`);
  const refused = await call('DELETE', '/local/teams/blue');
  assert.deepEqual([refused.status, refused.body.detail], [409, 'Team blue still has 1 variables.']);
  await own(sql`DELETE FROM variable WHERE team = 'blue'`);
  assert.equal(await status('DELETE', '/local/teams/blue/users/nobody'), 404);
  assert.equal(await status('DELETE', '/local/teams/blue'), 204);
  assert.equal(await status('DELETE', '/local/teams/blue'), 404);
  // The membership went along: a later team of that name starts empty.
  assert.equal(await status('POST', '/local/teams', { name: 'blue' }), 201);
  assert.deepEqual(await listed(), [{ name: 'blue', bundles: [], users: [] }]);
  const { body } = await kit.as.admin('GET', '/eventLogs?event_pattern=team&limit=100');
  const events = body.event_logs.map((row: { event: string }) => row.event);
  assert.deepEqual([...new Set(events)].sort(), ['add_team_user', 'create_team', 'delete_team']);
});

test('supervisors and tickets are listed, made and taken back, each step recorded; bad input is refused in words', async () => {
  const made = (await call('POST', '/local/join-tickets', { roles: ['worker'], ttl_seconds: 60 })).body as unknown as {
    ticket: string;
    id: string;
  };
  assert.match(made.ticket, /^[\w-]{43}$/);
  const listed = await call('GET', '/local/join-tickets');
  assert.deepEqual(
    (listed.body.tickets as Array<{ id: string }>).map(({ id }) => id),
    [made.id],
  );
  assert.ok(!JSON.stringify(listed.body).includes(made.ticket), 'it is shown once');
  assert.equal((await call('DELETE', `/local/join-tickets/${made.id}`)).status, 204);
  assert.equal((await call('DELETE', `/local/join-tickets/${made.id}`)).status, 404);
  assert.deepEqual((await call('GET', '/local/supervisors')).body, { supervisors: [], total_entries: 0 });
  for (const id of ['x', '00000000-0000-4000-8000-000000000000'])
    assert.equal((await call('DELETE', `/local/supervisors/${id}`)).status, 404);
  for (const body of [
    {},
    { roles: [] },
    { roles: ['god'] },
    { roles: ['worker'], ttl_seconds: 59 },
    { roles: ['worker'], ttl_seconds: 86_401 },
    { roles: ['worker'], more: 1 },
    { roles: ['worker'], bundles: ['dags-folder'] },
    { roles: ['parse'], bundles: [] },
  ])
    assert.equal((await call('POST', '/local/join-tickets', body)).status, 422, JSON.stringify(body));
  const { body } = await kit.as.admin('GET', '/eventLogs?event_pattern=join_ticket&limit=100');
  const events = body.event_logs.map((row: { event: string; owner: string }) => `${row.event} ${row.owner}`);
  const owner = operatorName(process.getuid!());
  assert.deepEqual(events.sort(), [`create_join_ticket ${owner}`, `revoke_join_ticket ${owner}`]);
});

test('nothing that was changed here lacks its audit row', async (t) => {
  const { changes, missing } = await witness.look();
  t.diagnostic(`operator socket: ${changes.length} kinds of change, 0 without an audit row`);
  assert.ok(changes.length >= 7);
  assert.deepEqual(missing, []);
});
