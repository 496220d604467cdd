/** Who a request is from and whether it came by TLS is the proxy's word only where the proxy is listed. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { PASSWORD, type RestKit, restKit } from './rest-kit.ts';

let listed: RestKit;
let unlisted: RestKit;
before(async () => {
  listed = await restKit({ config: { AIRLOCK__API__TRUSTED_PROXIES: '127.0.0.1' } });
  unlisted = await restKit({ config: { AIRLOCK__API__TRUSTED_PROXIES: '10.0.0.0/8' } });
});
after(async () => {
  await listed[Symbol.asyncDispose]();
  await unlisted[Symbol.asyncDispose]();
});

const forwarded = {
  'x-forwarded-for': '198.51.100.9',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'flows.example',
};
const logIn = (kit: RestKit, headers: Record<string, string>, password = PASSWORD) =>
  fetch(`${kit.base}/auth/login`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams({ username: 'admin', password }).toString(),
  });
async function lastAddress(kit: RestKit): Promise<string> {
  const [row] = await kit.database.db.query<{ extra: string }>(
    sql`SELECT extra::text AS extra FROM event_log WHERE event IN ('login', 'login_failed') ORDER BY id DESC LIMIT 1`,
  );
  return JSON.parse(row!.extra).address;
}

test('a listed proxy says address, protocol and host', async () => {
  const answer = await logIn(listed, { ...forwarded, origin: 'https://flows.example' });
  assert.equal(answer.status, 303);
  assert.match(answer.headers.get('set-cookie')!, /; Secure$/);
  assert.equal(await lastAddress(listed), '198.51.100.9');
});

test('what stands before the part that the proxy wrote is not believed', async () => {
  const headers = { ...forwarded, 'x-forwarded-for': '203.0.113.1, 198.51.100.10', origin: 'https://flows.example' };
  assert.equal((await logIn(listed, headers)).status, 303);
  assert.equal(await lastAddress(listed), '198.51.100.10');
});

test('anybody else says nothing', async () => {
  // The origin is measured by where the request really arrived.
  assert.equal((await logIn(unlisted, { ...forwarded, origin: 'https://flows.example' })).status, 403);
  const answer = await logIn(unlisted, { ...forwarded, origin: unlisted.base });
  assert.equal(answer.status, 303);
  assert.doesNotMatch(answer.headers.get('set-cookie')!, /Secure/);
  assert.equal(await lastAddress(unlisted), '127.0.0.1');
});

test('changing the forwarded address gives more tries behind a listed proxy, and none elsewhere', async () => {
  const tries = async (kit: RestKit) => {
    const statuses = [];
    for (let i = 0; i < 12; i++) {
      const headers = { 'x-forwarded-for': `198.51.100.${100 + i}`, 'sec-fetch-site': 'same-origin' };
      const form = new URLSearchParams({ username: `nobody ${i}`, password: 'wrong password!' }).toString();
      const type = 'application/x-www-form-urlencoded';
      const answer = await fetch(`${kit.base}/auth/login`, {
        method: 'POST',
        headers: { 'content-type': type, ...headers },
        body: form,
      });
      statuses.push(answer.status);
    }
    return statuses.filter((status) => status === 429).length;
  };
  listed.clock.shift(61_000);
  unlisted.clock.shift(61_000);
  assert.equal(await tries(unlisted), 2);
  assert.equal(await tries(listed), 0); // control: these are twelve people
});
