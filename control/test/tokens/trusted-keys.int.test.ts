// Keys of others: from a file or over https with a certificate that counts, read again within bounds, refused whole when unfit.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import pino from 'pino';
import { selfSigned } from '../../../tests/kit/self-signed.ts';
import { waitFor } from '../../../tests/kit/wait.ts';
import { createSigner, keyPair, oneKeyPair } from '../../../token-sign/src/index.ts';
import { createRotatingVerifier } from '../../src/tokens/rotating-verifier.ts';
import { followTrustedKeys, type TrustedKeys } from '../../src/tokens/trusted-keys.ts';

const log = pino({ level: 'silent' });
const certificate = selfSigned();
const ID = '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01';

function newSigner(kid: string | null = null) {
  const pair = keyPair(generateKeyPairSync('ed25519').privateKey, 'EdDSA', kid);
  const signer = createSigner({
    keys: oneKeyPair(pair),
    issuer: null,
    userAudience: 'apache-airflow',
    nowMs: Date.now,
  });
  const mint = () =>
    signer.mint({
      kind: 'execution',
      sub: ID,
      jti: randomBytes(16).toString('hex'),
      ttl_seconds: 60,
      now_ms: Date.now(),
    });
  return { jwk: pair.jwk, mint };
}
const own = newSigner();
const config = resolveConfig({ env: {}, ini: {}, expand: (text) => text });
async function verifierFor(t: TestContext, trusted: TrustedKeys) {
  const keys = async () => ({ jwks: { keys: [own.jwk] }, secret: null });
  const verifier = await createRotatingVerifier({ keys, checkSecret: async () => false }, trusted, config, log);
  t.after(() => verifier.close());
  return (token: string) => verifier.verify('execution', token, Date.now());
}
const INVALID = { code: 'TOKEN_INVALID' };
const CONFIG = { code: 'CONFIG_INVALID' };

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'airlock-jwks-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}
type Told = { status?: number; headers?: Record<string, string>; body: string };
/** An https server that says what the test says; counts how often it is asked. */
async function site(t: TestContext, told: () => Told | null) {
  let asked = 0;
  const server: Server = createServer(certificate, (_request, answer) => {
    asked++;
    const said = told();
    if (said === null) return; // never answers
    answer.writeHead(said.status ?? 200, said.headers ?? {});
    answer.end(said.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as { port: number };
  return { url: `https://localhost:${port}/jwks.json`, asked: () => asked };
}
async function follow(t: TestContext, location: string | null, over: object = {}): Promise<TrustedKeys> {
  const options = { location, intervalMs: 100, retryMs: 50, rsaAlgorithm: 'RS256', log, ca: certificate.cert } as const;
  const trusted = await followTrustedKeys({ ...options, ...over });
  t.after(() => trusted.close());
  return trusted;
}
const set = (...keys: readonly object[]) => JSON.stringify({ keys });

test('a token of a trusted key counts, and without the option it does not', async (t) => {
  const other = newSigner();
  const path = join(folder(t), 'jwks.json');
  writeFileSync(path, set(other.jwk));
  const token = await other.mint();
  const verify = await verifierFor(t, await follow(t, path));
  assert.equal((await verify(token)).sub, ID);
  assert.equal((await verify(await own.mint())).sub, ID);
  await assert.rejects((await verifierFor(t, await follow(t, null)))(token), INVALID);
});

test('a file that changes is read again: the new key counts, the one that was taken out is refused', async (t) => {
  const [one, two] = [newSigner(), newSigner()];
  const path = join(folder(t), 'jwks.json');
  writeFileSync(path, set(one.jwk));
  const verify = await verifierFor(t, await follow(t, path));
  const old = await one.mint();
  assert.ok(await verify(old));
  writeFileSync(path, set(two.jwk));
  await waitFor('the old key is refused', () =>
    verify(old).then(
      () => false,
      () => true,
    ),
  );
  assert.ok(await verify(await two.mint()));
});

test('keys come over https, and only by a certificate that counts', async (t) => {
  const other = newSigner();
  const { url } = await site(t, () => ({ body: set(other.jwk) }));
  const verify = await verifierFor(t, await follow(t, url));
  const token = await other.mint();
  assert.ok(await verify(token));
  const stranger = await follow(t, url, { ca: selfSigned().cert });
  assert.equal(stranger.keys().size, 0);
  await assert.rejects((await verifierFor(t, stranger))(token), INVALID);
});

test('a key that nobody here knows makes us ask, but floods of such tokens do not', async (t) => {
  const [one, two] = [newSigner(), newSigner()];
  let published = set(one.jwk);
  const { url, asked } = await site(t, () => ({ body: published }));
  const trusted = await follow(t, url, { intervalMs: 3_600_000, retryMs: 300 });
  const verify = await verifierFor(t, trusted);
  published = set(one.jwk, two.jwk);
  const token = await two.mint();
  await waitFor('the new key is known long before the interval', () =>
    verify(token).then(
      () => true,
      () => false,
    ),
  );
  const before = asked();
  const beganMs = performance.now();
  const unknown = await newSigner().mint();
  const answers = await Promise.allSettled(Array.from({ length: 500 }, () => verify(unknown)));
  assert.ok(answers.every(({ status }) => status === 'rejected'));
  const allowed = Math.ceil((performance.now() - beganMs) / 300) + 1;
  assert.ok(asked() - before <= allowed, `${asked() - before} requests, ${allowed} allowed`);
});

test('a site that fails is asked again less and less often, what was read stays, and health says so', async (t) => {
  const other = newSigner();
  let told: Told = { body: set(other.jwk) };
  const { url } = await site(t, () => told);
  const trusted = await follow(t, url);
  const verify = await verifierFor(t, trusted);
  told = { status: 500, body: '' };
  assert.equal(trusted.isOverdue(), false);
  await waitFor('it is overdue', trusted.isOverdue);
  assert.ok(await verify(await other.mint()));
  told = { body: set(other.jwk) };
  await waitFor('it is well again', () => !trusted.isOverdue());
});

for (const [name, told] of Object.entries<Told | null>({
  'an error': { status: 503, body: '' },
  'a redirect': { status: 302, headers: { location: 'https://localhost:1/' }, body: '' },
  'more than 256 KiB': { body: ' '.repeat(300 * 1024) },
  'nothing at all': null,
})) {
  test(`a site that gives ${name} does not stop the start, and nobody is trusted`, async (t) => {
    const { url } = await site(t, () => told);
    const beganMs = performance.now();
    const trusted = await follow(t, url);
    assert.equal(trusted.keys().size, 0);
    assert.ok(performance.now() - beganMs < 10_000);
  });
}

const other = newSigner();
const secret = { kty: 'oct', kid: 'secret', alg: 'HS256', k: Buffer.alloc(32, 7).toString('base64url') };
for (const [name, body] of Object.entries({
  'no JSON': 'hello',
  'a list': '[]',
  'a secret beside a public key': set(other.jwk, secret),
  'secrets alone': set(secret),
  'a private key': set({ ...other.jwk, d: 'x' }),
  'the same kid twice': set(other.jwk, { ...newSigner().jwk, kid: other.jwk.kid }),
})) {
  test(`a set with ${name} refuses the start, and later on leaves what was read before`, async (t) => {
    const path = join(folder(t), 'jwks.json');
    writeFileSync(path, body);
    await assert.rejects(follow(t, path), CONFIG);
    writeFileSync(path, set(other.jwk));
    const trusted = await follow(t, path);
    writeFileSync(path, body);
    await waitFor('it was read again', trusted.isOverdue);
    assert.deepEqual([...trusted.keys().keys()], [other.jwk.kid]);
    const { url } = await site(t, () => ({ body }));
    await assert.rejects(follow(t, url), CONFIG);
  });
}

test('a file that is missing refuses the start', async (t) => {
  await assert.rejects(follow(t, join(folder(t), 'absent.json')), CONFIG);
});

test('nobody takes the name of our own key', async (t) => {
  const impostor = newSigner(own.jwk.kid);
  const path = join(folder(t), 'jwks.json');
  writeFileSync(path, set(impostor.jwk));
  const verify = await verifierFor(t, await follow(t, path));
  await assert.rejects(verify(await impostor.mint()), INVALID);
  assert.ok(await verify(await own.mint()));
});

for (const location of [
  'http://keys.example/jwks.json',
  'HTTP://keys.example/jwks.json',
  'ftp://keys.example/jwks.json',
  'https://user:secret@keys.example/jwks.json',
  'https://',
  'jwks.json',
]) {
  test(`the location ${location.slice(0, 12)}… is refused when the configuration is read`, () => {
    const read = (text: string) =>
      resolveConfig({ env: { AIRLOCK__API_AUTH__TRUSTED_JWKS_URL: text }, ini: {}, expand: (each) => each });
    assert.equal(read('https://keys.example/jwks.json').api_auth.trusted_jwks_url, 'https://keys.example/jwks.json');
    assert.throws(() => read(location), CONFIG);
  });
}
