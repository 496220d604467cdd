/**
 * Logging in through a real OpenID Connect provider: authorization code, PKCE, state and nonce; groups become role and teams.
 * Every refusal differs in one thing from a log-in that succeeds.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { sql } from '@airlock/store';
import { Browser, type Visit } from '../../tests/kit/browser.ts';
import { CLIENT, type Claims, claimsIn, type OpenIdProvider, openIdProvider } from '../../tests/kit/openid-provider.ts';
import { changeAccount, createAccount } from '../src/api/auth/accounts.ts';
import { admit } from '../src/auth-managers/openid/admit.ts';
import { openIdSettings } from '../src/auth-managers/openid/settings.ts';
import { createTeam } from '../src/auth-managers/teams.ts';
import { type RestKit, restKit } from './rest-kit.ts';

/** Public address of the server under test; the browser of the tests knows where it really listens. */
const HERE = 'https://airlock.test';
const CALLBACK = `${HERE}/auth/oidc/callback`;

let provider: OpenIdProvider;
let kit: RestKit;
before(async () => {
  provider = await openIdProvider({ callback: CALLBACK, afterLogout: `${HERE}/auth/login` });
  kit = await restKit({
    config: {
      AIRLOCK__CORE__AUTH_MANAGER: 'openid',
      AIRLOCK__CORE__MULTI_TEAM: 'true',
      AIRLOCK__API__BASE_URL: HERE,
      AIRLOCK__OIDC__ISSUER: provider.issuer,
      AIRLOCK__OIDC__CLIENT_ID: CLIENT.id,
      AIRLOCK__OIDC__CLIENT_SECRET: CLIENT.secret,
      AIRLOCK__OIDC__SCOPES: 'profile,groups',
      AIRLOCK__OIDC__ROLE_MAPPING: '{"readers": "viewer", "data": "user", "platform": "admin"}',
      AIRLOCK__OIDC__TEAM_MAPPING: '{"data": ["etl", "ml"], "readers": ["etl"], "ghosts": ["no-such-team"]}',
      AIRLOCK__OIDC__SESSION_LIFETIME: '900',
    },
  });
  for (const team of ['etl', 'ml']) await createTeam(kit.deps, 'test', team);
});
after(async () => {
  // The provider first: were the rest missing, its listener would keep the process alive.
  await provider[Symbol.asyncDispose]();
  await kit[Symbol.asyncDispose]();
});
beforeEach(() => {
  provider.spoil = (claims) => claims;
  provider.foreignKey = false;
  provider.down = false;
});

let serial = 0;
/** Somebody new at the provider. */
function person(groups: unknown, over: Record<string, unknown> = {}): { sub: string; name: string } {
  const sub = `subject-${++serial}`;
  const name = `person${serial}`;
  provider.people.set(sub, { preferred_username: name, groups, ...over });
  return { sub, name };
}
const browser = () => new Browser({ [HERE]: kit.base });
const isCallback = (url: string) => url.startsWith(CALLBACK);

/** Up to the callback, which is not called yet. */
async function toCallback(
  who: { sub: string },
  with_ = browser(),
  query = '',
): Promise<{ at: string; with_: Browser }> {
  provider.next = who.sub;
  const { url } = await with_.follow(`${HERE}/auth/oidc/login${query}`, isCallback);
  assert.ok(isCallback(url), `ended at ${url}`);
  return { at: url, with_ };
}
async function logIn(
  who: { sub: string },
  query = '',
): Promise<{ visit: Visit; with_: Browser; token: string | null }> {
  const { at, with_ } = await toCallback(who, browser(), query);
  const visit = await with_.get(at);
  return { visit, with_, token: with_.cookie(HERE, '_token')?.value ?? null };
}
const call = (token: string, path: string) => kit.withToken(token)('GET', path);
const code = (visit: Visit) => [visit.status, visit.headers.get('airlock-error')];
const REFUSED = [401, 'INVALID_CREDENTIALS'];

async function assertRefused(who: { sub: string; name: string }, expected: unknown[]): Promise<void> {
  const { visit, token } = await logIn(who);
  assert.deepEqual(code(visit), expected, visit.text);
  assert.equal(token, null, 'no cookie of ours');
  assert.deepEqual(await kit.database.db.query(sql`SELECT 1 FROM account WHERE name = ${who.name}`), []);
}

test('somebody whose group has a role logs in, is sent where he wanted, and is that role in those teams', async () => {
  const who = person(['data', 'unknown group']);
  const { visit, with_, token } = await logIn(who, `?next=${encodeURIComponent('/dags?x=1')}`);
  assert.deepEqual([visit.status, visit.headers.get('location')], [303, '/dags?x=1']);
  assert.match(with_.cookie(HERE, '_token')!.line, /; HttpOnly; Path=\/; SameSite=lax; Secure$/);
  assert.equal(with_.cookie(HERE, '_openid'), undefined, 'the attempt is over');
  const claims = claimsIn(token!);
  assert.deepEqual([claims.sub, claims.exp! - claims.iat!, 'role' in claims], [who.name, 900, false]);
  assert.equal((await call(token!, '/dags')).status, 200);
  assert.equal((await call(token!, '/variables')).status, 403, 'a user is no op');
  const rows = await kit.database.db.query(
    sql`SELECT a.role, a.password_hash, a.issuer, array_agg(t.team ORDER BY t.team) AS teams FROM account a
      JOIN account_team t ON t.account = a.name WHERE a.name = ${who.name} GROUP BY a.name`,
  );
  assert.deepEqual(rows, [{ role: 'user', password_hash: null, issuer: provider.issuer, teams: ['etl', 'ml'] }]);
});

test('of several groups the highest role counts', async () => {
  const { token } = await logIn(person(['readers', 'platform', 'data']));
  assert.equal((await call(token!, '/variables')).status, 200);
});

test('the cookie of an attempt is for the browser that began it and says nothing', async () => {
  const { with_ } = await toCallback(person(['data']));
  const { line, value } = with_.cookie(HERE, '_openid')!;
  assert.match(line, /; HttpOnly; Path=\/auth\/oidc; SameSite=lax; Max-Age=600; Secure$/);
  assert.doesNotMatch(Buffer.from(value.split('.').at(-1)!, 'base64url').toString('latin1'), /state|nonce|verifier/);
});

const spoiled: Array<[what: string, spoil: (claims: Claims) => Claims]> = [
  ['of another issuer', (claims) => ({ ...claims, iss: 'https://evil.example' })],
  ['for another audience', (claims) => ({ ...claims, aud: 'another-client' })],
  ['for two audiences and another authorized party', (claims) => ({ ...claims, aud: [CLIENT.id, 'x'], azp: 'x' })],
  ['with another nonce', (claims) => ({ ...claims, nonce: 'another' })],
  ['without a nonce', ({ nonce: _, ...claims }) => claims],
  ['that has expired', (claims) => ({ ...claims, exp: claims.iat! - 60 })],
  ['without an expiry', ({ exp: _, ...claims }) => claims],
  ['from the future', (claims) => ({ ...claims, nbf: claims.iat! + 600 })],
  ['without a subject', ({ sub: _, ...claims }) => claims],
];
for (const [what, spoil] of spoiled) {
  test(`an ID token ${what} is refused`, async () => {
    const who = person(['data']);
    provider.spoil = spoil;
    await assertRefused(who, REFUSED);
    provider.spoil = (claims) => claims;
    assert.equal((await logIn(who)).visit.status, 303); // control
  });
}

test('an ID token that another key signed is refused', async () => {
  const who = person(['data']);
  provider.foreignKey = true;
  await assertRefused(who, REFUSED);
  provider.foreignKey = false;
  assert.equal((await logIn(who)).visit.status, 303); // control
});

test('who is in no group with a role is refused, whatever the claim looks like', async () => {
  for (const groups of [
    [],
    ['unknown'],
    ['DATA'],
    'data',
    undefined,
    { data: true },
    [['data']],
    ['__proto__', 'constructor'],
  ]) {
    await assertRefused(person(groups), [403, 'FORBIDDEN']);
  }
  assert.equal((await logIn(person(['data']))).visit.status, 303); // control
});

test('a group that is mapped to a team that does not exist lets nobody in', async () => {
  await assertRefused(person(['data', 'ghosts']), [403, 'FORBIDDEN']);
  await createTeam(kit.deps, 'test', 'no-such-team');
  assert.equal((await logIn(person(['data', 'ghosts']))).visit.status, 303); // control
});

test('a callback counts only in the browser that began, with the state that it began with, and once', async () => {
  const who = person(['data']);
  const begun = await toCallback(who);
  assert.deepEqual(code(await browser().get(begun.at)), REFUSED, 'a browser without an attempt');
  const other = await toCallback(who);
  assert.deepEqual(code(await other.with_.get(begun.at)), REFUSED, 'another browser’s attempt');
  const changed = await toCallback(who);
  const url = new URL(changed.at);
  url.searchParams.set('state', 'another');
  assert.deepEqual(code(await changed.with_.get(url.href)), REFUSED, 'another state');
  const without = await toCallback(who);
  assert.deepEqual(code(await without.with_.get(without.at.replace(/state=[^&]*&?/, ''))), REFUSED, 'no state');
  const mixed = await toCallback(who);
  const mixedUp = new URL(mixed.at);
  mixedUp.searchParams.set('iss', 'https://evil.example');
  assert.deepEqual(code(await mixed.with_.get(mixedUp.href)), REFUSED, 'the answer of another provider, RFC 9207');
  // Its own browser, its own state: control. The same once more, with the cookie put back: refused.
  const cookie = begun.with_.cookie(HERE, '_openid')!;
  assert.equal((await begun.with_.get(begun.at)).status, 303);
  begun.with_.cookies.get(HERE)!.set('_openid', cookie);
  assert.deepEqual(code(await begun.with_.get(begun.at)), REFUSED, 'a replay');
});

test('a state counts once in the deployment, also where the provider would take its code twice', async () => {
  const settings = openIdSettings(kit.deps.config, true);
  const who = person(['data']);
  const identity = { subject: who.sub, claims: { preferred_username: who.name, groups: ['data'] } };
  const attempt = (state: string) => ({ state, nonce: 'n', verifier: 'v', next: '/', expires: Date.now() + 60_000 });
  const both = await Promise.allSettled([1, 2].map(() => admit(kit.deps, settings, attempt('one'), identity)));
  assert.deepEqual(both.map((each) => each.status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(admit(kit.deps, settings, attempt('one'), identity), { code: 'INVALID_CREDENTIALS' });
  assert.equal((await admit(kit.deps, settings, attempt('two'), identity)).name, who.name); // control
});

test('an attempt is over after ten minutes, and a cookie that we did not seal is none', async () => {
  const forged = await toCallback(person(['data']));
  const jar = forged.with_.cookies.get(HERE)!;
  const { value, ...rest } = jar.get('_openid')!;
  jar.set('_openid', { ...rest, value: `${value.slice(0, -6)}AAAAAA` });
  assert.deepEqual(code(await forged.with_.get(forged.at)), REFUSED);
  const late = await toCallback(person(['data']));
  kit.clock.shift(601_000);
  try {
    assert.deepEqual(code(await late.with_.get(late.at)), REFUSED);
  } finally {
    kit.clock.shift(-601_000);
  }
  assert.equal((await late.with_.get(late.at)).status, 401, 'its cookie is gone'); // one attempt, one callback
});

test('a code is worth nothing without the verifier of the attempt that asked for it', async () => {
  const who = person(['data']);
  const [stolen, own] = [await toCallback(who), await toCallback(who)];
  const url = new URL(own.at);
  url.searchParams.set('code', new URL(stolen.at).searchParams.get('code')!);
  assert.deepEqual(code(await own.with_.get(url.href)), REFUSED);
  assert.equal((await stolen.with_.get(stolen.at)).status, 303); // control: with its own
});

test('a refusal of the provider is one of ours, and one that does not answer is told apart', async () => {
  const denied = await toCallback(person(['data']));
  const url = new URL(denied.at);
  url.searchParams.delete('code');
  url.searchParams.set('error', 'access_denied');
  assert.deepEqual(code(await denied.with_.get(url.href)), REFUSED);
  const who = person(['data']);
  const { at, with_ } = await toCallback(who);
  provider.down = true;
  assert.deepEqual(code(await with_.get(at)), [503, 'PROVIDER_UNAVAILABLE']);
  provider.down = false;
  assert.equal((await logIn(who)).visit.status, 303); // control
});

test('a log-in leads only to paths of this server', async () => {
  for (const next of [
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
    '/.//evil.example',
    `${HERE}//evil.example`,
    '%2F%2Fevil.example',
  ]) {
    const visit = await browser().get(`${HERE}/auth/oidc/login?next=${encodeURIComponent(next)}`);
    assert.deepEqual(code(visit), [400, 'BAD_REQUEST'], next);
  }
  const own = await logIn(person(['data']), `?next=${encodeURIComponent(`${HERE}/pools`)}`);
  assert.equal(own.visit.headers.get('location'), '/pools'); // control
});

test('a name never finds an account: not a local one, nor that of another subject', async () => {
  await createAccount(kit.deps, 'test', { name: 'taken', role: 'viewer', password: null });
  const thief = person(['platform'], { preferred_username: 'taken' });
  const { visit, token } = await logIn(thief);
  assert.deepEqual([...code(visit), token], [403, 'FORBIDDEN', null]);
  const first = person(['readers']);
  assert.equal((await logIn(first)).visit.status, 303);
  const second = person(['platform'], { preferred_username: first.name });
  assert.deepEqual(code((await logIn(second)).visit), [403, 'FORBIDDEN']);
  for (const name of [undefined, '', 'with space', 'x'.repeat(251), 7, 'a\nb']) {
    const visit = (await logIn(person(['data'], { preferred_username: name }))).visit;
    assert.deepEqual(code(visit), [403, 'FORBIDDEN'], JSON.stringify(name));
  }
  // A renamed person stays the account that he is.
  provider.people.set(first.sub, { preferred_username: 'renamed', groups: ['readers'] });
  assert.equal(claimsIn((await logIn(first)).token!).sub, first.name);
});

test('a change of groups counts at the next log-in, for tokens of earlier ones too; losing the last group ends them', async () => {
  const who = person(['platform']);
  const early = (await logIn(who)).token!;
  assert.equal((await call(early, '/variables')).status, 200);
  provider.people.set(who.sub, { preferred_username: who.name, groups: ['readers'] });
  assert.equal((await call(early, '/variables')).status, 200, 'until the next log-in, or the end of the session');
  const later = (await logIn(who)).token!;
  for (const token of [early, later]) {
    assert.equal((await call(token, '/variables')).status, 403);
    assert.equal((await call(token, '/dags')).status, 200);
  }
  provider.people.set(who.sub, { preferred_username: who.name, groups: [] });
  assert.deepEqual(code((await logIn(who)).visit), [403, 'FORBIDDEN']);
  for (const token of [early, later]) assert.equal((await call(token, '/dags')).status, 403, 'Invalid JWT token');
  const teams = await kit.database.db.query(sql`SELECT team FROM account_team WHERE account = ${who.name}`);
  assert.deepEqual(teams, []);
});

test('a disabled account stays out, whatever its groups', async () => {
  const who = person(['data']);
  const { token } = await logIn(who);
  await changeAccount(kit.deps, 'test', who.name, { disabled: true });
  assert.equal((await call(token!, '/dags')).status, 403);
  assert.deepEqual(code((await logIn(who)).visit), [403, 'FORBIDDEN']);
  await changeAccount(kit.deps, 'test', who.name, { disabled: false });
  const again = await logIn(who); // control
  assert.equal(again.visit.status, 303);
  assert.equal((await call(again.token!, '/dags')).status, 200, 'a token of the very second counts');
  assert.equal((await call(token!, '/dags')).status, 403, 'the earlier one stays ended');
});

test('a password finds no account of the provider, and local accounts go on beside it', async () => {
  const who = person(['data']);
  await logIn(who);
  const asked = (username: string, password: string) => kit.anonymous('POST', '/auth/token', { username, password });
  assert.equal((await asked(who.name, 'correct horse battery')).status, 401);
  assert.equal((await asked('admin', 'correct horse battery')).status, 201); // control
});

test('a log-out ends our token and leads on to the provider, whose session ends too', async () => {
  const { with_, token } = await logIn(person(['data']));
  const out = await with_.get(`${HERE}/api/v2/auth/logout`);
  const to = new URL(out.headers.get('location')!);
  assert.deepEqual([out.status, to.origin], [307, provider.issuer]);
  assert.equal(to.searchParams.get('post_logout_redirect_uri'), `${HERE}/auth/login`);
  assert.equal(with_.cookie(HERE, '_token'), undefined);
  assert.equal((await call(token!, '/dags')).status, 403);
  const page = await with_.get(to.href);
  assert.equal(page.status, 200, 'the provider asks whether to end its session as well');
});

test('who asks for the log-in page is sent to the provider, with where he wanted to go', async () => {
  const plain = await kit.anonymous('GET', '/auth/login');
  assert.equal(plain.status, 200, 'our own page, for local accounts');
  const visit = await browser().get(`${HERE}/api/v2/auth/login`);
  assert.deepEqual([visit.status, visit.headers.get('location')], [307, '/auth/oidc/login']);
});
