// A stranger, a thief and a confused client meet every check that stands before a handler. Each refusal has its pair: the
// same request without the one change is accepted.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import test, { after, before } from 'node:test';
import { sql } from '@airlock/store';
import { waitFor } from '../../../tests/kit/wait.ts';
import { forge, makeProof, newKey, type Server, startExecutionApi, type Try } from './kit.ts';

let server: Server;
let ti: Try;
before(async () => {
  server = await startExecutionApi({ AIRLOCK__WORKERS__COMMAND_QUEUES: 'plain' });
  ti = await server.startTry({ needs: { variables: ['known', 'absent'] } });
});
after(() => server.close());

const INVALID = [403, { detail: 'Invalid auth token' }];
const MISSING = [401, { detail: 'Missing auth token' }];
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const headerOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString());
const path = () => `/task-instances/${ti.id}/heartbeat`;
const json = { hostname: 'worker-1', pid: 4242 };

/** A heartbeat with `token` and a good proof for it. */
async function beat(token: string, key = ti.key) {
  const answer = await server.call('PUT', path(), { key, token, json });
  assert.equal(answer.headers.get('refreshed-api-token'), null);
  return [answer.status, answer.status === 204 ? null : answer.json()];
}
/** The try's own token, signed by the real key, with changes. */
const resigned = (header: object, claims: object, key = server.signingKey.privateKey) =>
  forge({ ...headerOf(ti.token), ...header }, { ...claimsOf(ti.token), ...claims }, key);

test('the token that the server made is accepted', async () => {
  assert.deepEqual(await beat(ti.token), [204, null]);
  assert.deepEqual(await beat(resigned({}, {})), [204, null]); // so the helper changes nothing by itself
});

for (const [name, make] of Object.entries<() => string>({
  'signed by another key': () => resigned({}, {}, generateKeyPairSync('ed25519').privateKey),
  'with alg none': () => {
    const [, payload] = ti.token.split('.');
    const header = Buffer.from(JSON.stringify({ ...headerOf(ti.token), alg: 'none' })).toString('base64url');
    return `${header}.${payload}.`;
  },
  'with alg none and a signature': () => resigned({ alg: 'none' }, {}),
  'with HS256 keyed by the public key': () => {
    const input = forge(
      { ...headerOf(ti.token), alg: 'HS256' },
      claimsOf(ti.token),
      server.signingKey.privateKey,
    ).split('.');
    const text = `${input[0]}.${input[1]}`;
    return `${text}.${createHmac('sha256', JSON.stringify(server.signingKey.jwk)).update(text).digest('base64url')}`;
  },
  'with alg Ed25519 instead of EdDSA': () => resigned({ alg: 'Ed25519' }, {}),
  'without a kid': () => resigned({ kid: undefined }, {}),
  'with an unknown kid': () => resigned({ kid: 'x'.repeat(43) }, {}),
  'with a key of its own in the header': () => resigned({ jwk: newKey().jwk }, {}),
  'with a crit header': () => resigned({ crit: ['b64'], b64: false }, {}),
  'with typ JWT': () => resigned({ typ: 'JWT' }, {}),
  'with the typ of a user token': () => resigned({ typ: 'airlock-user+jwt' }, {}),
  'for another audience': () => resigned({}, { aud: 'apache-airflow' }),
  'for two audiences': () => resigned({}, { aud: ['urn:airflow.apache.org:task', 'x'] }),
  'with an issuer that nobody configured': () => resigned({}, { iss: 'https://elsewhere.example' }),
  'without an expiry': () => resigned({}, { exp: undefined }),
  'with its expiry as text': () => resigned({}, { exp: String(claimsOf(ti.token).exp) }),
  'expired one second past the leeway': () =>
    resigned({}, { iat: server.nowSeconds() - 200, nbf: server.nowSeconds() - 200, exp: server.nowSeconds() - 11 }),
  'not valid before the leeway': () =>
    resigned({}, { iat: server.nowSeconds() + 11, nbf: server.nowSeconds() + 11, exp: server.nowSeconds() + 111 }),
  'that lives longer than 300 s': () => resigned({}, { exp: claimsOf(ti.token).iat + 301 }),
  'without a jti': () => resigned({}, { jti: undefined }),
  'with another jti than the row': () => resigned({}, { jti: 'f'.repeat(32) }),
  'without a scope': () => resigned({}, { scope: undefined }),
  'with another scope': () => resigned({}, { scope: 'admin' }),
  'with its scope in a list': () => resigned({}, { scope: ['execution'] }),
  'without a subject': () => resigned({}, { sub: undefined }),
  'whose subject is no UUID': () => resigned({}, { sub: 'admin' }),
  'whose subject is in upper case': () => resigned({}, { sub: ti.id.toUpperCase() }),
  'with one more claim': () => resigned({}, { role: 'admin' }),
  'of more than 4 KiB': () => resigned({}, { pad: 'x'.repeat(5000) }),
  'with padding': () => `${ti.token}=`,
  'whose last character has other spare bits': () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(ti.token.at(-1)!);
    return ti.token.slice(0, -1) + alphabet[(last & 0x30) | ((last + 1) & 0x0f)];
  },
  'that is garbage': () => 'garbage',
  'of three empty parts': () => '..',
})) {
  test(`a token ${name} is refused with 403`, async () => assert.deepEqual(await beat(make()), INVALID));
}

test('within the leeway a token is still accepted', async () => {
  const now = server.nowSeconds();
  assert.deepEqual(await beat(resigned({}, { iat: now - 200, nbf: now - 200, exp: now - 9 })), [204, null]);
});

test('no credential, an empty one and another scheme are 401', async () => {
  const send = (headers: Record<string, string>) => server.call('PUT', path(), { headers, json });
  for (const headers of [
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer  ' },
    { authorization: `Basic ${ti.token}` },
  ]) {
    const answer = await send(headers as Record<string, string>);
    assert.deepEqual([answer.status, answer.json()], MISSING);
    assert.equal(answer.headers.get('www-authenticate'), null);
    assert.equal(answer.headers.get('airlock-error'), 'TOKEN_MISSING');
  }
});

test('a bound token sent as a bearer is refused, with and without a proof beside it', async () => {
  const bare = await server.call('PUT', path(), { headers: { authorization: `Bearer ${ti.token}` }, json });
  assert.deepEqual([bare.status, bare.json()], INVALID);
  const beside = await server.call('PUT', path(), {
    key: ti.key,
    token: ti.token,
    headers: { authorization: `Bearer ${ti.token}` },
    json,
  });
  assert.deepEqual([beside.status, beside.json()], INVALID);
});

const proven = (over: Partial<Parameters<typeof makeProof>[1]> = {}, key = ti.key) => {
  const url = new URL(`${server.base}${path()}`);
  return makeProof(key, { htm: 'PUT', htu: url.href, iat: server.nowSeconds(), token: ti.token, ...over });
};
const withProof = async (proof: string | null) => {
  const headers: Record<string, string> = {
    authorization: `DPoP ${ti.token}`,
    ...(proof === null ? {} : { dpop: proof }),
  };
  const answer = await server.call('PUT', path(), { headers, json });
  return [answer.status, answer.status === 204 ? null : answer.json()];
};

test('the same request with a good proof is accepted, and with that proof again refused', async () => {
  const proof = proven();
  assert.deepEqual(await withProof(proof), [204, null]);
  assert.deepEqual(await withProof(proof), INVALID);
});

for (const [name, make] of Object.entries<() => string | null>({
  'that is missing': () => null,
  'that is garbage': () => 'garbage',
  'for another method': () => proven({ htm: 'POST' }),
  'for another path': () => proven({ htu: `${server.base}/task-instances/${randomUUID()}/heartbeat` }),
  'for another host': () => proven({ htu: `http://elsewhere.example${new URL(`${server.base}${path()}`).pathname}` }),
  'for another scheme': () => proven({ htu: `https${new URL(`${server.base}${path()}`).href.slice(4)}` }),
  'that names the query': () => proven({ htu: `${server.base}${path()}?x=1` }),
  'without the hash of the token': () => proven({ token: null }),
  'for another token': () => proven({ token: 'x' }),
  'by another key': () => proven({}, newKey()),
  'by another key that names the bound one': () => proven({ header: { jwk: ti.key.jwk } }, newKey()),
  'that is 61 s old': () => proven({ iat: server.nowSeconds() - 61 }),
  'from 11 s ahead': () => proven({ iat: server.nowSeconds() + 11 }),
  'without a jti': () => proven({ over: { jti: undefined } }),
  'with a short jti': () => proven({ jti: 'short' }),
  'with one more claim': () => proven({ over: { more: 'x' } }),
  'with typ JWT': () => proven({ header: { typ: 'JWT' } }),
  'with a private key in its header': () => proven({ header: { jwk: { ...ti.key.jwk, d: ti.key.jwk.x } } }),
})) {
  test(`a proof ${name} is refused with 403`, async () => assert.deepEqual(await withProof(make()), INVALID));
}

test('proofs that were shown are forgotten when they are too old to be taken, and not before', async () => {
  await using own = await startExecutionApi();
  const rows = async () => (await own.one<{ n: number }>(sql`SELECT count(*)::integer AS n FROM proof_seen`)).n;
  const join = () => own.joinWorker();
  await join();
  own.advance(120);
  await join();
  assert.equal(await rows(), 2);
  own.advance(200);
  await join();
  await waitFor('the first is gone', async () => (await rows()) === 2);
});

test('a token without a binding works as a bearer only', async () => {
  const run = await server.seedRun();
  const plain = await server.seedTask(run, { queue: 'plain', runtime: 'python', needs: null });
  const worker = await server.joinWorker();
  const workload = (await server.claim(worker, 10)).find((each) => each.ti.id === plain.id)!;
  const at = `/task-instances/${plain.id}/run`;
  assert.equal(claimsOf(workload.token).cnf, undefined);
  const withKey = await server.call('PATCH', at, { key: worker.key, token: workload.token, json: server.runBody() });
  assert.deepEqual([withKey.status, withKey.json()], INVALID);
  const bearer = await server.call('PATCH', at, { token: workload.token, json: server.runBody() });
  assert.equal(bearer.status, 200);
  assert.equal(claimsOf(bearer.headers.get('refreshed-api-token')!).cnf, undefined);
});

test('each kind of token opens its own routes only, and the answer names the kinds that do', async () => {
  const worker = ti.worker.tokens.worker!;
  const workload = ti.workload.token;
  const wrong = (kind: string, allowed: string) => [
    403,
    { detail: `Token type '${kind}' not allowed for this endpoint. Allowed types: ${allowed}` },
  ];
  const ask = async (method: string, at: string, token: string, key = ti.key) => {
    const answer = await server.call(method, at, { key, token, json: method === 'GET' ? undefined : {} });
    return [answer.status, answer.json()];
  };
  assert.deepEqual(await ask('GET', '/variables/known', workload), wrong('workload', 'execution'));
  assert.deepEqual(await ask('PUT', path(), workload), wrong('workload', 'execution'));
  assert.deepEqual(await ask('GET', '/variables/known', worker), wrong('worker', 'execution'));
  assert.deepEqual(await ask('POST', '/workloads/claim', ti.token), wrong('execution', 'worker'));
  assert.deepEqual(await ask('GET', '/bundles', worker), wrong('worker', 'parse'));
  assert.deepEqual(await ask('PATCH', `/task-instances/${ti.id}/run`, worker), wrong('worker', 'execution, workload'));
  const user = await server.minter.mint('user', { sub: 'admin', ttlSeconds: 60, jti: 'a'.repeat(32) });
  const asUser = await server.call('GET', '/variables/known', { token: user });
  assert.deepEqual([asUser.status, asUser.json()], INVALID);
});

test('a token of one try is refused for another, known or not, and for an id that is no UUID', async () => {
  const sibling = await server.startTry({ needs: {} });
  for (const id of [sibling.id, randomUUID(), 'x', ti.id.toUpperCase()]) {
    for (const [method, route, body] of [
      ['PATCH', 'run', server.runBody()],
      ['PUT', 'heartbeat', json],
      ['PATCH', 'state', { state: 'failed', end_date: '2026-01-01T00:00:00Z' }],
      ['PUT', 'rtif', {}],
      ['PATCH', 'skip-downstream', { tasks: [] }],
    ] as const) {
      const answer = await server.call(method, `/task-instances/${id}/${route}`, {
        key: ti.key,
        token: ti.token,
        json: body,
      });
      assert.deepEqual(
        [answer.status, answer.json()],
        [403, { detail: 'Token subject does not match task instance ID' }],
      );
    }
  }
  assert.deepEqual(await beat(ti.token), [204, null]);
});

test('malformed JSON is told before the credential is', async () => {
  const answer = await server.call('PATCH', `/task-instances/${ti.id}/state`, {
    body: '{bad',
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 422);
  assert.deepEqual(answer.json<{ detail: unknown[] }>().detail[0], {
    type: 'json_invalid',
    loc: ['body', 1],
    msg: 'JSON decode error',
    input: {},
    ctx: { error: 'Expecting property name enclosed in double quotes' },
  });
});

test('a large body of a stranger is not read: 401 comes first where 16 MiB would be allowed', async () => {
  const answer = await server.call('POST', '/xcoms/d/r/t/k', {
    body: '{bad',
    headers: { 'content-type': 'application/json' },
  });
  assert.deepEqual([answer.status, answer.json()], MISSING);
});

test('__proto__, deep nesting and too large bodies are refused on each route that takes a body', async () => {
  for (const [method, at] of [
    ['PATCH', `/task-instances/${ti.id}/run`],
    ['PATCH', `/task-instances/${ti.id}/state`],
    ['PUT', `/task-instances/${ti.id}/rtif`],
    ['PUT', '/variables/known'],
    ['POST', `/xcoms/${ti.run.dagId}/${ti.run.runId}/extract/k`],
  ] as const) {
    const send = (body: string) =>
      server.call(method, at, { key: ti.key, token: ti.token, body, headers: { 'content-type': 'application/json' } });
    assert.equal((await send('{"__proto__":{"a":1}}')).status, 422, at);
    assert.equal((await send(`${'['.repeat(10_000)}${']'.repeat(10_000)}`)).status, 422, at);
    assert.equal((await send('{')).status, 422, at);
  }
  const big = await server.call('PUT', `/task-instances/${ti.id}/rtif`, {
    key: ti.key,
    token: ti.token,
    json: { a: 'x'.repeat(1_100_000) },
  });
  assert.equal(big.status, 413);
  assert.deepEqual(await beat(ti.token), [204, null]);
});

test('unknown paths and methods are told apart before authentication, without a charset', async () => {
  const unknown = await server.call('GET', '/no-such-thing');
  assert.deepEqual(
    [unknown.status, unknown.json(), unknown.headers.get('content-type')],
    [404, { detail: 'Not Found' }, 'application/json'],
  );
  const method = await server.call('DELETE', '/health');
  assert.deepEqual(
    [method.status, method.json(), method.headers.get('allow')],
    [405, { detail: 'Method Not Allowed' }, 'GET'],
  );
});

test('no refusal, health answer or unknown path ever carries a refreshed token', async () => {
  await using late = await startExecutionApi();
  const other = await late.startTry({ needs: {} });
  late.advance(290);
  const send = { key: other.key, token: other.token };
  for (const [method, at, body] of [
    ['GET', '/health', undefined],
    ['GET', '/no-such-thing', undefined],
    ['DELETE', '/health', undefined],
    ['GET', '/variables/undeclared', undefined],
    ['PUT', `/task-instances/${randomUUID()}/heartbeat`, json],
    ['PUT', `/task-instances/${other.id}/heartbeat`, { hostname: 'elsewhere', pid: 1 }],
    ['PUT', `/task-instances/${other.id}/heartbeat`, {}],
    ['GET', `/xcoms/${other.run.dagId}/${other.run.runId}/extract/absent`, undefined],
  ] as const) {
    const answer = await late.call(method, at, { ...send, json: body });
    assert.equal(answer.headers.get('refreshed-api-token'), null, `${method} ${at} ${answer.status}`);
  }
  const honest = await late.call('PUT', `/task-instances/${other.id}/heartbeat`, { ...send, json });
  assert.notEqual(honest.headers.get('refreshed-api-token'), null);
});
