/** `[core] simple_auth_manager_all_admins`: nobody logs in on a laptop, and nobody from elsewhere gets in by it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import { rawRequest } from '../../tests/kit/raw-request.ts';
import { createAccount } from '../src/api/auth/accounts.ts';
import { checkAllAdmins, prepareAllAdmins } from '../src/auth-managers/all-admins.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const ON = { AIRLOCK__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS: 'true' };
let kit: RestKit;
const warnings: string[] = [];
const log = { warn: (text: unknown) => warnings.push(String(text)) } as never;
const prepare = (isOn: boolean) => prepareAllAdmins(kit.database.db, { isOn, nowMs: kit.clock.nowMs(), log });
before(async () => {
  kit = await restKit({ config: ON });
  await prepare(true);
});
after(() => kit[Symbol.asyncDispose]());

test('a server that others can reach does not start with it', () => {
  const check = (env: Record<string, string>) =>
    checkAllAdmins(resolveConfig({ env: { ...ON, ...env }, ini: {}, expand: (text) => text }));
  const bad: Array<Record<string, string>> = [
    { AIRLOCK__API__HOST: '0.0.0.0' },
    { AIRLOCK__API__HOST: '::' },
    { AIRLOCK__API__HOST: '192.168.1.4' },
    { AIRLOCK__API__HOST: 'airlock.example' },
    { AIRLOCK__API__BASE_URL: 'https://airlock.example' },
    { AIRLOCK__API__BASE_URL: 'https://127.0.0.1.evil.example' },
    { AIRLOCK__API__TRUSTED_PROXIES: '127.0.0.1' },
    { AIRLOCK__CORE__AUTH_MANAGER: 'openid' },
  ];
  for (const env of bad)
    assert.throws(() => check(env), { code: 'CONFIG_INVALID', message: /all_admins/ }, JSON.stringify(env));
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) check({ AIRLOCK__API__HOST: host }); // control
  check({ AIRLOCK__API__BASE_URL: 'http://localhost:8080' });
});

test('whoever asks from this machine without a token is an administrator, and the start and health say so', async () => {
  const made = await kit.anonymous('POST', '/variables', { key: 'by_anybody', value: 'x' });
  assert.equal(made.status, 201, made.text);
  const { body } = await kit.anonymous('GET', '/eventLogs?event=post_variable');
  assert.equal(body.event_logs[0].owner, 'Anonymous');
  const health = await kit.anonymous('GET', '/monitor/health');
  assert.equal(health.headers.get('airlock-all-admins'), 'on');
  assert.match(warnings.join(), /NOBODY HAS TO LOG IN/);
});

test('who shows a token is that user, and a bad one is refused', async () => {
  assert.equal((await kit.as.viewer('DELETE', '/variables/by_anybody')).status, 403);
  assert.equal((await kit.withToken('nonsense')('GET', '/variables')).status, 403);
  assert.equal((await kit.anonymous('GET', '/variables', undefined, { cookie: '_token=nonsense' })).status, 403);
  assert.equal((await kit.anonymous('GET', '/variables')).status, 200); // control
});

test('a page of another site, another name for this address, and what a proxy passes on are not admitted', async () => {
  const elsewhere: Array<Record<string, string>> = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { referer: 'https://evil.example/page' },
    { 'x-forwarded-for': '203.0.113.7' },
    { 'x-forwarded-for': '127.0.0.1' },
    { forwarded: 'for=203.0.113.7' },
    { 'x-real-ip': '203.0.113.7' },
    { via: '1.1 proxy' },
  ];
  for (const headers of elsewhere) {
    const name = JSON.stringify(headers);
    for (const [method, path, body] of [
      ['GET', '/variables', undefined],
      ['POST', '/variables', { key: 'from_elsewhere', value: 'x' }],
    ] as const) {
      assert.equal((await kit.anonymous(method, path, body, headers)).status, 401, `${method} ${name}`);
    }
    assert.equal((await kit.anonymous('GET', '/auth/token', undefined, headers)).status, 403, name);
    assert.equal((await kit.anonymous('GET', '/auth/token/login', undefined, headers)).status, 403, name);
    const traded = await kit.anonymous('POST', '/auth/token', { username: 'a', password: 'b' }, headers);
    assert.equal(traded.status, 401, name);
  }
  assert.equal((await kit.anonymous('GET', '/variables/from_elsewhere')).status, 404);
  // A name that was pointed at this machine: the browser sends it as the host.
  const { port } = new URL(kit.base);
  const ask = (host: string) => rawRequest({ url: `${kit.base}/api/v2/variables`, method: 'GET', headers: { host } });
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
  ]) {
    assert.equal((await ask(host)).status, 401, host);
  }
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) {
    assert.equal((await ask(host)).status, 200, host); // control
  }
  const own = await kit.anonymous('POST', '/variables', { key: 'own', value: 'x' }, { origin: kit.base });
  assert.equal(own.status, 201, 'control: a page of ours');
});

test('tokens are given for any credentials or none, work like any other, and end with the mode', async () => {
  const tokens = [
    (await kit.anonymous('GET', '/auth/token')).body.access_token,
    (await kit.anonymous('POST', '/auth/token', { username: 'who', password: 'ever' })).body.access_token,
    (await kit.anonymous('POST', '/auth/token/cli', { username: 'x', password: 'y' })).body.access_token,
  ];
  const visit = await kit.anonymous('GET', '/auth/token/login?next=%2Fdags');
  assert.deepEqual([visit.status, visit.headers.get('location')], [307, '/dags']);
  assert.match(visit.headers.get('set-cookie') ?? '', /^_token=.*HttpOnly/);
  const unsafe = await kit.anonymous('GET', `/auth/token/login?next=${encodeURIComponent('//evil.example')}`);
  assert.equal(unsafe.headers.get('location'), '/');
  for (const token of tokens) assert.equal((await kit.withToken(token)('GET', '/variables')).status, 200);
  await prepare(true); // another process
  for (const token of tokens) assert.equal((await kit.withToken(token)('GET', '/variables')).status, 200);
  await prepare(false);
  for (const token of tokens) assert.equal((await kit.withToken(token)('GET', '/variables')).status, 403);
});

test('an account of an operator is not taken over by it', async () => {
  await createAccount(kit.deps, 'test', { name: 'Anonymous', role: 'viewer', password: null });
  await assert.rejects(prepare(true), { code: 'CONFIG_INVALID', message: /Anonymous/ });
  await prepare(false);
  assert.equal((await kit.withToken(await kit.tokenOf('Anonymous'))('GET', '/dags')).status, 200, 'and not removed');
});

test('without the option nobody is admitted, and nothing says so', async () => {
  await using plain = await restKit();
  assert.equal((await plain.anonymous('GET', '/variables')).status, 401);
  assert.equal((await plain.anonymous('GET', '/auth/token')).status, 403);
  assert.equal((await plain.anonymous('GET', '/monitor/health')).headers.get('airlock-all-admins'), null);
});
