import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { createVerifier } from '@airlock/token-verify';
import { createSigner, openKeyFolder, secretKey, startTokenServer } from '../../../token-sign/src/index.ts';
import { createTokenMinter } from '../../src/tokens/minter.ts';

const ID = '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01';
const wanted = (n = 0) => ({ sub: ID, jti: n.toString(16).padStart(32, '0'), ttlSeconds: 60 });
const me = { uid: process.getuid!(), pid: process.pid };
const UNAVAILABLE = { code: 'KEY_UNAVAILABLE' };

function kit(t: TestContext, options: { timeoutMs?: number; maxWaiting?: number } = {}) {
  const home = mkdtempSync(join(tmpdir(), 'airlock-minter-'));
  const socketPath = join(home, 'token', 'token.sock');
  const folder = openKeyFolder({
    folder: join(home, 'keys'),
    generate: true,
    nowMs: Date.now,
    warn: () => undefined,
  });
  const signer = createSigner({
    keys: folder.keys,
    issuer: null,
    userAudience: 'rest',
    nowMs: Date.now,
  });
  const start = async (peer = me) => {
    const server = await startTokenServer({
      socketPath,
      service: { signer, keys: folder.keys, folder },
      credentialsOf: () => me,
      peerUids: [],
      onRefused: () => undefined,
    });
    server.setPeer(peer);
    return server;
  };
  const minter = createTokenMinter({ socketPath, clock: systemClock, ...options });
  t.after(() => {
    minter.close();
    rmSync(home, { recursive: true });
  });
  return { start, minter, signer, socketPath };
}

test('a thousand tokens asked for at once come back each to its asker', async (t) => {
  const { start, minter } = kit(t);
  const server = await start();
  t.after(() => server.close());
  const verifier = createVerifier({ keys: (await minter.keys()).jwks, userAudience: 'rest', leewaySeconds: 10 });
  const tokens = await Promise.all(Array.from({ length: 1000 }, (_, n) => minter.mint('execution', wanted(n))));
  for (const [n, token] of tokens.entries()) {
    assert.equal((await verifier.verify('execution', token, Date.now())).jti, wanted(n).jti);
  }
});

test('the same wish gives the same token, and its instant may be named', async (t) => {
  const { start, minter } = kit(t);
  const server = await start();
  t.after(() => server.close());
  const issuedAtMs = Date.now() - 5_000;
  const [a, b] = await Promise.all([0, 0].map((n) => minter.mint('execution', { ...wanted(n), issuedAtMs })));
  assert.equal(a, b);
});

test('a signer that starts later, and one that is replaced while requests are in flight, cost nothing but time', async (t) => {
  const { start, minter } = kit(t);
  const early = minter.mint('execution', wanted());
  let server = await start();
  assert.ok(await early);
  const flying = Array.from({ length: 100 }, (_, n) => minter.mint('execution', wanted(n)));
  await server.close();
  server = await start();
  t.after(() => server.close());
  assert.equal((await Promise.all(flying)).length, 100);
});

test('a signer that does not know us yet is asked again until it does', async (t) => {
  const { start, minter } = kit(t);
  const server = await start({ uid: me.uid, pid: 1 });
  t.after(() => server.close());
  const waiting = minter.mint('execution', wanted());
  setTimeout(() => server.setPeer(me), 50);
  assert.ok(await waiting);
});

test('without a signer a request fails in its time', async (t) => {
  const { minter } = kit(t, { timeoutMs: 100 });
  const before = performance.now();
  await assert.rejects(minter.mint('execution', wanted()), UNAVAILABLE);
  assert.ok(performance.now() - before < 2_000);
});

test('too many waiting requests fail at once instead of piling up', async (t) => {
  const { minter } = kit(t, { timeoutMs: 300, maxWaiting: 2 });
  const [a, b] = [minter.mint('execution', wanted(1)), minter.mint('execution', wanted(2))];
  const before = performance.now();
  await assert.rejects(minter.mint('execution', wanted(3)), UNAVAILABLE);
  assert.ok(performance.now() - before < 100);
  await Promise.all([assert.rejects(a, UNAVAILABLE), assert.rejects(b, UNAVAILABLE)]);
});

test('what the signer refuses is told as a bad request, and the next one is served', async (t) => {
  const { start, minter } = kit(t);
  const server = await start();
  t.after(() => server.close());
  await assert.rejects(minter.mint('execution', { ...wanted(), ttlSeconds: 301 }), { code: 'BAD_REQUEST' });
  await assert.rejects(minter.mint('worker', wanted()), { code: 'BAD_REQUEST' });
  assert.ok(await minter.mint('execution', wanted()));
});

test('where a secret signs, only the signer can tell what it signed; control holds nothing that could', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'airlock-minter-'));
  const socketPath = join(home, 'token', 'token.sock');
  const keys = secretKey('S'.repeat(64), 'HS512', 'not-used');
  const signer = createSigner({ keys, issuer: null, userAudience: 'rest', nowMs: Date.now });
  const server = await startTokenServer({
    socketPath,
    service: { signer, keys, folder: null },
    credentialsOf: () => me,
    peerUids: [],
    onRefused: () => undefined,
  });
  server.setPeer(me);
  const minter = createTokenMinter({ socketPath, clock: systemClock });
  t.after(async () => {
    minter.close();
    await server.close();
    rmSync(home, { recursive: true });
  });
  const known = await minter.keys();
  assert.deepEqual(known, { jwks: { keys: [] }, secret: { kid: 'not-used', alg: 'HS512' } });
  const options = { keys: known.jwks, userAudience: 'rest', leewaySeconds: 10 };
  const token = await minter.mint('execution', wanted());
  const verifier = createVerifier({ ...options, secret: { ...known.secret!, check: minter.checkSecret } });
  assert.equal((await verifier.verify('execution', token, Date.now())).sub, ID);
  await assert.rejects(createVerifier(options).verify('execution', token, Date.now()), { code: 'TOKEN_INVALID' });
  const changed = `${token.slice(0, -6)}AAAAAA`;
  await assert.rejects(verifier.verify('execution', changed, Date.now()), { code: 'TOKEN_INVALID' });
  await assert.rejects(minter.rotateKey(), { code: 'CONFLICT' });
});

test('operators see and change the keys of the folder through the same socket', async (t) => {
  const { start, minter } = kit(t);
  const server = await start();
  t.after(() => server.close());
  const [first] = await minter.listKeys();
  assert.deepEqual([first!.state, first!.alg, first!.signs_from], ['signing', 'EdDSA', null]);
  assert.deepEqual(
    (await minter.rotateKey()).map(({ state }) => state),
    ['next', 'signing'],
  );
  assert.equal((await minter.keys()).jwks.keys.length, 2);
  await assert.rejects(minter.rotateKey(), { code: 'CONFLICT' });
  await assert.rejects(minter.retireKey(first!.kid), { code: 'CONFLICT' });
  await assert.rejects(minter.retireKey('no-such-key'), { code: 'NOT_FOUND' });
});

test('closing ends what waits, and later requests too', async (t) => {
  const { minter } = kit(t);
  const waiting = minter.mint('execution', wanted());
  minter.close();
  await assert.rejects(waiting, UNAVAILABLE);
  await assert.rejects(minter.keys(), UNAVAILABLE);
});

for (const [name, said] of Object.entries({
  'no JSON': 'hello\n',
  'an answer of another shape': '{"id":1,"token":5}\n',
  'an endless line': 'x'.repeat(40_000),
})) {
  test(`a server that says ${name} is not believed`, async (t) => {
    const { minter, socketPath } = kit(t, { timeoutMs: 200 });
    mkdirSync(join(socketPath, '..'));
    const impostor: NetServer = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(said);
    });
    await new Promise<void>((resolve) => impostor.listen(socketPath, resolve));
    t.after(() => impostor.close());
    await assert.rejects(minter.mint('execution', wanted()), UNAVAILABLE);
  });
}
