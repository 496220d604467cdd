// Promises L18, L19 and L20 on three API servers that are processes of their own, over one database. Each test prints its figure
// and has a control beside its refusals. A tenth of the trials, whole with `npm run soak`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { type Replicas, startReplicas } from '../../tests/kit/replicas.ts';
import { scaled } from '../../tests/kit/seed.ts';
import { changeAccount, createAccount, removeAccount, resetPassword, revokeAll } from '../src/api/auth/accounts.ts';

const PASSWORD = 'correct horse battery';
const TRIALS = scaled(100, 10);

let cluster: Replicas;
let bases: readonly string[];
const deps = () => ({ db: cluster.database.db, clock: systemClock });
const show = (text: string) => process.stdout.write(`  ${text}\n`);

before(async () => {
  // The test stands where a proxy would, so that each log-in can come from an address of its own.
  cluster = await startReplicas({ env: { AIRLOCK__API__TRUSTED_PROXIES: '127.0.0.1' } });
  bases = cluster.replicas.map((replica) => replica.url());
  await createAccount(deps(), 'test', { name: 'root', role: 'admin', password: PASSWORD });
});
after(() => cluster?.[Symbol.asyncDispose]());

let serial = 0;
const address = () => `198.51.${Math.floor(++serial / 250) % 250}.${serial % 250}`;

const post = (base: string, username: string, password: string, from = address()) =>
  fetch(`${base}/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': from },
    body: JSON.stringify({ username, password }),
  });
async function logIn(username: string, base = bases[0]!): Promise<string> {
  const answer = await post(base, username, PASSWORD);
  assert.equal(answer.status, 201, await answer.clone().text());
  return ((await answer.json()) as { access_token: string }).access_token;
}
const read = async (base: string, token: string, path = '/pools') =>
  (await fetch(`${base}/api/v2${path}`, { headers: { authorization: `Bearer ${token}` } })).status;
/** Status on each replica, asked at the same time. */
const everywhere = (token: string, path?: string) => Promise.all(bases.map((base) => read(base, token, path)));

async function account(role: 'viewer' | 'op' | 'admin' = 'viewer'): Promise<string> {
  const name = `user${++serial}`;
  await createAccount(deps(), 'test', { name, role, password: PASSWORD });
  return name;
}

test('L18: ten failures a minute are counted once for three servers, then 429 on each of them', async () => {
  const name = await account();
  const spread: number[] = [];
  for (let i = 0; i < 10; i++) spread.push((await post(bases[i % 3]!, name, 'wrong password!')).status);
  assert.deepEqual(spread, Array(10).fill(401));
  for (const base of bases) {
    for (const password of ['wrong password!', PASSWORD]) {
      const answer = await post(base, name, password);
      assert.equal(answer.status, 429);
      assert.ok(Number(answer.headers.get('retry-after')) >= 1);
    }
    assert.equal((await post(base, await account(), PASSWORD)).status, 201); // control: somebody else
  }
  // All at once, to all servers: by account, by address, and for a name that does not exist.
  const figures: string[] = [];
  const [other, from] = [await account(), address()];
  for (const [what, send] of Object.entries({
    account: (base: string) => post(base, other, 'wrong password!'),
    address: (base: string) => post(base, `nobody${++serial}`, 'wrong password!', from),
    'unknown name': (base: string) => post(base, 'nobody at all', 'wrong password!'),
  })) {
    const answers = await Promise.all(Array.from({ length: 90 }, (_, i) => send(bases[i % 3]!)));
    const count = (status: number) => answers.filter((answer) => answer.status === status).length;
    assert.deepEqual([count(401), count(429)], [10, 80], what);
    figures.push(`${what} ${count(401)} of 90`);
  }
  show(`L18: passwords looked at, of those sent to three servers at once: ${figures.join(', ')}`);
});

/** What takes a token's power: does it, and says what it should answer then. */
const ENDS: Record<string, (name: string) => Promise<void>> = {
  disabled: (name) => changeAccount(deps(), 'test', name, { disabled: true }),
  'new password': (name) => resetPassword(deps(), 'test', name, 'another good password'),
  'all tokens revoked': (name) => revokeAll(deps(), 'test', name),
  removed: (name) => removeAccount(deps(), 'test', name),
};
for (const [how, end] of Object.entries(ENDS)) {
  test(`L18: a user who is ${how} is refused from the next request on, on each server`, async () => {
    let accepted = 0;
    for (let i = 0; i < TRIALS; i++) {
      const name = await account();
      const token = await logIn(name, bases[i % 3]);
      assert.deepEqual(await everywhere(token), [200, 200, 200]); // control
      await end(name);
      accepted += (await everywhere(token)).filter((status) => status !== 403).length;
    }
    show(`L18: ${how}: ${accepted} of ${TRIALS * 3} requests accepted after the commit`);
    assert.equal(accepted, 0);
  });
}

test('L19: a changed role counts from the next request on, on each server, both ways', async () => {
  const name = await account('op');
  const token = await logIn(name);
  let stale = 0;
  for (let i = 0; i < TRIALS; i++) {
    assert.deepEqual(await everywhere(token, '/connections'), [200, 200, 200]); // control
    await changeAccount(deps(), 'test', name, { role: 'viewer' });
    stale += (await everywhere(token, '/connections')).filter((status) => status !== 403).length;
    assert.deepEqual(await everywhere(token), [200, 200, 200], 'what a viewer may do goes on');
    await changeAccount(deps(), 'test', name, { role: 'op' });
  }
  show(`L19: ${stale} of ${TRIALS * 3} requests answered by the lost role after the commit`);
  assert.equal(stale, 0);
});

for (const method of ['POST', 'GET']) {
  test(`L20: log-out by ${method} ends header and cookie on each server before it answers`, async () => {
    let accepted = 0;
    for (let i = 0; i < TRIALS; i++) {
      const [base, name] = [bases[i % 3]!, await account()];
      const [header, cookie, other] = [await logIn(name), await logIn(name), await logIn(name)];
      for (const token of [header, cookie, other]) assert.deepEqual(await everywhere(token), [200, 200, 200]);
      const answer = await fetch(`${base}/api/v2/auth/logout`, {
        method,
        redirect: 'manual',
        headers: { authorization: `Bearer ${header}`, cookie: `_token=${cookie}`, origin: base },
      });
      assert.deepEqual([answer.status, answer.headers.get('location')], [307, '/auth/login']);
      const after = (await Promise.all([header, cookie].map((token) => everywhere(token)))).flat();
      accepted += after.filter((status) => status !== 403).length;
      assert.deepEqual(await everywhere(other), [200, 200, 200]); // control: it was not presented
    }
    show(`L20: ${method}: ${accepted} of ${TRIALS * 6} requests accepted after the answer`);
    assert.equal(accepted, 0);
  });
}

test('L20: the session of a page that began on one server ends on each by a log-out on another', async () => {
  const name = await account();
  const form = (base: string) =>
    fetch(`${base}/auth/login`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: base, 'x-forwarded-for': address() },
      body: new URLSearchParams({ username: name, password: PASSWORD }).toString(),
    });
  let accepted = 0;
  for (let i = 0; i < TRIALS; i++) {
    const answer = await form(bases[i % 3]!);
    assert.equal(answer.status, 303);
    const token = /^_token=([^;]+)/.exec(answer.headers.get('set-cookie')!)![1]!;
    assert.deepEqual(await everywhere(token), [200, 200, 200]); // control
    const base = bases[(i + 1) % 3]!;
    await fetch(`${base}/api/v2/auth/logout`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: `_token=${token}`, origin: base },
    });
    accepted += (await everywhere(token)).filter((status) => status !== 403).length;
  }
  show(`L20: sessions: ${accepted} of ${TRIALS * 3} requests accepted after the answer`);
  assert.equal(accepted, 0);
});
