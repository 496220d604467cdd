/** The page to log in by, and the session that a browser has from it. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { sql } from '@airlock/store';
import { PASSWORD, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
before(async () => {
  kit = await restKit({ config: { AIRLOCK__API_AUTH__SESSION_LIFETIME: String(3 * 86_400) } });
});
after(() => kit[Symbol.asyncDispose]());
beforeEach(() => kit.clock.shift(61_000)); // failures of one test are not those of the next

type Headers = Record<string, string>;
const FORM = 'application/x-www-form-urlencoded';
const send = (form: Headers, headers: Headers = { origin: kit.base }, base = kit.base) =>
  fetch(`${base}/auth/login`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': FORM, ...headers },
    body: new URLSearchParams(form).toString(),
  });
const right = { username: 'admin', password: PASSWORD };
const cookieOf = (answer: { headers: globalThis.Headers }) => answer.headers.get('set-cookie') ?? '';
const tokenOf = (answer: { headers: globalThis.Headers }) => /^_token=([^;]+)/.exec(cookieOf(answer))?.[1] ?? null;
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const read = (token: string, base = kit.base) =>
  fetch(`${base}/api/v2/pools`, { headers: { cookie: `_token=${token}` } });
const works = async (token: string) => (await read(token)).status === 200;
const logIn = async () => tokenOf(await send(right))!;

test('the page is a form that needs no script, may load nothing, and may be framed by nobody', async () => {
  const answer = await fetch(`${kit.base}/auth/login`);
  const html = await answer.text();
  assert.equal(answer.status, 200);
  const policy = answer.headers.get('content-security-policy')!;
  assert.match(
    policy,
    /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
  );
  assert.doesNotMatch(html, /<script|javascript:|\son\w+=|https?:/i);
  // Browsers call the origin of a form `null` where a page wants no referrer at all.
  assert.equal(answer.headers.get('referrer-policy'), 'same-origin');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  for (const name of ['username', 'password'])
    assert.match(html, new RegExp(`<label for="${name}">.*\\n<input id="${name}"`));
  assert.match(html, /<html lang="en">/);
});

test('the right password gives a cookie that no script can read, and leads on', async () => {
  const answer = await send(right);
  assert.deepEqual([answer.status, answer.headers.get('location')], [303, '/']);
  assert.match(cookieOf(answer), /^_token=[\w.-]+; HttpOnly; Path=\/; SameSite=lax$/);
  const token = tokenOf(answer)!;
  assert.ok(await works(token));
  const write = await kit.anonymous(
    'POST',
    '/variables',
    { key: 'by_page', value: '1' },
    { cookie: `_token=${token}`, origin: kit.base },
  );
  assert.equal(write.status, 201);
  const { body } = await kit.as.admin('GET', '/eventLogs?event=login&order_by=-id&limit=1');
  assert.equal(JSON.parse(body.event_logs[0].extra).session, true);
});

test('the cookie is for TLS alone where the published address is https', async () => {
  await using tls = await restKit({ config: { AIRLOCK__API__BASE_URL: 'https://airlock.example' } });
  const answer = await send(right, { origin: 'https://airlock.example' }, tls.base);
  assert.equal(answer.status, 303);
  assert.match(cookieOf(answer), /; SameSite=lax; Secure$/);
  const out = await fetch(`${tls.base}/api/v2/auth/logout`, { redirect: 'manual' });
  assert.match(cookieOf(out), /Max-Age=0.*; Secure$/);
  // A stranger's word for it is not enough: no proxy is trusted.
  const forged = await send(right, { origin: kit.base, 'x-forwarded-proto': 'https' });
  assert.doesNotMatch(cookieOf(forged), /Secure/);
});

test('what is wrong is said on the page, with the status that fits, and no cookie', async () => {
  const cases: Array<[Headers, number, RegExp]> = [
    [{ username: 'admin', password: 'wrong password!' }, 401, /User name or password is wrong/],
    [{ username: 'nobody', password: PASSWORD }, 401, /User name or password is wrong/],
    [{ username: 'admin', password: '' }, 400, /Enter user name and password/],
    [{ username: '', password: '' }, 400, /Enter user name and password/],
    [{ username: 'admin' }, 401, /User name or password is wrong/],
    [{ username: 'a'.repeat(2000), password: 'x' }, 401, /User name or password is wrong/],
  ];
  for (const [form, status, text] of cases) {
    const answer = await send(form);
    assert.equal(answer.status, status, JSON.stringify(form));
    assert.match(await answer.text(), new RegExp(`role="alert">${text.source}`));
    assert.equal(answer.headers.get('set-cookie'), null);
  }
});

test('too many failures are 429 on the page too', async () => {
  for (let i = 0; i < 10; i++) await send({ username: 'op', password: 'wrong password!' });
  const answer = await send({ username: 'op', password: 'wrong password!' });
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get('retry-after')) > 50);
  assert.match(await answer.text(), /Wait a minute/);
});

test('what was typed comes back as text', async () => {
  const evil = `"><script>alert(1)</script>'&`;
  const html = await (
    await send({ username: evil, password: 'x', next: `/a?b="><img src=x onerror=alert(1)>` })
  ).text();
  assert.doesNotMatch(html, /<script|<img/);
  assert.match(html, /value="&#34;&#62;&#60;script&#62;alert\(1\)&#60;\/script&#62;&#39;&#38;"/);
});

test('only a page of ours may log a browser in, so that nobody works in an account that is not his', async () => {
  const foreign: Headers[] = [
    {},
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  for (const headers of foreign) {
    const answer = await send(right, headers);
    assert.deepEqual([answer.status, answer.headers.get('set-cookie')], [403, null], JSON.stringify(headers));
  }
  assert.equal((await send(right, { 'sec-fetch-site': 'same-origin' })).status, 303); // control
  for (const type of ['text/plain', 'multipart/form-data; boundary=x']) {
    assert.equal((await send(right, { origin: kit.base, 'content-type': type })).status, 415, type);
  }
});

test('it leads to a path of this server and nowhere else', async () => {
  for (const [next, to] of [
    ['/dags?a=1&b=2#c', '/dags?a=1&b=2#c'],
    [`${kit.base}/x`, '/x'],
    ['//evil.example/', '/'],
    ['/\\evil.example', '/'],
    ['https://evil.example/', '/'],
    ['/%2F/evil.example', '/'],
    ['%2F%2Fevil.example', '/'],
    ['/.//evil.example', '/'],
    ['javascript:alert(1)', '/'],
    ['/a\r\nset-cookie: x=y', '/aset-cookie:%20x=y'],
    ['', '/'],
  ] as const) {
    const answer = await send({ ...right, next });
    assert.deepEqual([answer.status, answer.headers.get('location')], [303, to], next);
    const page = await (await fetch(`${kit.base}/auth/login?${new URLSearchParams({ next })}`)).text();
    assert.equal(/name="next" value="([^"]*)"/.exec(page)?.[1] ?? '/', to.replaceAll('&', '&#38;'), next);
  }
});

test('a log-out by form ends at the page', async () => {
  const token = await logIn();
  const headers = { cookie: `_token=${token}`, origin: kit.base, 'content-type': FORM };
  const out = await fetch(`${kit.base}/api/v2/auth/logout`, { method: 'POST', headers, body: '', redirect: 'manual' });
  assert.deepEqual([out.status, out.headers.get('location')], [307, '/auth/login']);
  const again = await send({});
  assert.deepEqual([again.status, again.headers.get('location')], [303, '/auth/login']);
  assert.equal(await works(token), false);
});

const HALF_MS = 43_200_000;

test('a session is renewed by use once half of its token is over, to one successor however many ask', async () => {
  const first = await logIn();
  assert.equal(cookieOf(await read(first)), '', 'not yet');
  kit.clock.shift(HALF_MS + 1000);
  const answers = await Promise.all(Array.from({ length: 20 }, () => read(first)));
  const tokens = new Set(answers.map(tokenOf));
  assert.equal(tokens.size, 1);
  const [second] = tokens as Set<string>;
  assert.notEqual(claimsOf(second!).jti, claimsOf(first).jti);
  assert.deepEqual([await works(first), await works(second!)], [true, true]);
  assert.equal(cookieOf(await read(second!)), '', 'the successor is young');
  // A refusal renews nothing.
  const viewer = await fetch(`${kit.base}/api/v2/nothing`, { headers: { cookie: `_token=${first}` } });
  assert.equal(viewer.headers.get('set-cookie'), null);
});

test('of a session at most two tokens work, and ending it with either ends both', async () => {
  for (const which of [0, 1]) {
    const tokens = [await logIn()];
    for (let i = 0; i < 2; i++) {
      kit.clock.shift(HALF_MS + 1000);
      tokens.push(tokenOf(await read(tokens.at(-1)!))!);
    }
    const working = [];
    for (const token of tokens) working.push(await works(token));
    assert.deepEqual(working, [false, true, true]);
    const answer = await fetch(`${kit.base}/api/v2/auth/logout`, {
      redirect: 'manual',
      headers: { cookie: `_token=${tokens[1 + which]}` },
    });
    assert.equal(answer.status, 307);
    assert.deepEqual([await works(tokens[1]!), await works(tokens[2]!)], [false, false]);
  }
});

test('a predecessor that comes a minute late gets no successor any more, and goes on to its own end', async () => {
  const first = await logIn();
  kit.clock.shift(HALF_MS + 1000);
  const second = tokenOf(await read(first))!;
  kit.clock.shift(59_000);
  assert.equal(tokenOf(await read(first)), second);
  kit.clock.shift(2_000);
  const late = await read(first);
  assert.deepEqual([late.status, cookieOf(late)], [200, '']);
});

test('no use moves the end of a session', async () => {
  let token = await logIn();
  const endsAtS = Math.floor(kit.clock.nowMs() / 1000) + 3 * 86_400;
  for (let i = 0; i < 20; i++) {
    kit.clock.shift(HALF_MS / 2);
    const answer = await read(token);
    if (answer.status !== 200) break;
    token = tokenOf(answer) ?? token;
    assert.ok(claimsOf(token).exp <= endsAtS);
  }
  assert.ok(kit.clock.nowMs() / 1000 >= endsAtS - 10, 'control: it was used up to its end');
  const over = await read(token);
  assert.equal(over.status, 401);
  assert.match(cookieOf(over), /^_token="".*Max-Age=0/);
});

test('a token that is no session is not renewed, in the header or in the cookie', async () => {
  const { body } = await kit.anonymous('POST', '/auth/token', right);
  const session = await logIn();
  kit.clock.shift(HALF_MS + 1000);
  assert.equal(cookieOf(await read(body.access_token)), '');
  const bearer = await kit.withToken(session)('GET', '/pools');
  assert.deepEqual([bearer.status, bearer.headers.get('set-cookie')], [200, null]);
  assert.match(cookieOf(await read(session)), /^_token=/); // control
});

test('a renewed token is as mortal as any: it goes with the account', async () => {
  const first = await logIn();
  kit.clock.shift(HALF_MS + 1000);
  const second = tokenOf(await read(first))!;
  await kit.database.db.query(sql`UPDATE account SET disabled = true WHERE name = 'admin'`);
  assert.deepEqual([await works(first), await works(second)], [false, false]);
  await kit.database.db.query(sql`UPDATE account SET disabled = false WHERE name = 'admin'`);
  assert.ok(await works(second)); // control
});
