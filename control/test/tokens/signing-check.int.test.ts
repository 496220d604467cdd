// The health check makes a token and verifies it. It must say so when either would fail, within 5 s, and again when both work.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { createVerifier } from '@airlock/token-verify';
import pino from 'pino';
import { waitFor } from '../../../tests/kit/wait.ts';
import { createSigner, keyPair, oneKeyPair, startTokenServer } from '../../../token-sign/src/index.ts';
import { createTokenMinter } from '../../src/tokens/minter.ts';
import { createSigningCheck } from '../../src/tokens/signing-check.ts';

const me = { uid: process.getuid!(), pid: process.pid };
const newKeys = () => oneKeyPair(keyPair(generateKeyPairSync('ed25519').privateKey, 'EdDSA', null));
const RED_WITHIN_MS = 5_000;

function kit(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'airlock-check-'));
  const socketPath = join(home, 'token', 'token.sock');
  const keys = newKeys();
  const start = async (signing = keys, peer = me) => {
    const signer = createSigner({ keys: signing, issuer: null, userAudience: 'rest', nowMs: Date.now });
    const server = await startTokenServer({
      socketPath,
      service: { signer, keys: signing, folder: null },
      credentialsOf: () => me,
      peerUids: [],
      onRefused: () => undefined,
    });
    server.setPeer(peer);
    return server;
  };
  const minter = createTokenMinter({ socketPath, clock: systemClock });
  const works = createSigningCheck({
    minter,
    verifier: createVerifier({ keys: keys.verificationKeys().jwks, userAudience: 'rest', leewaySeconds: 10 }),
    clock: systemClock,
    log: pino({ level: 'silent' }),
  });
  t.after(() => {
    minter.close();
    rmSync(home, { recursive: true });
  });
  /** How long it took until the answer was `wanted`. */
  const until = async (wanted: boolean) => {
    const beganMs = performance.now();
    await waitFor(`health says ${wanted}`, async () => (await works()) === wanted);
    return performance.now() - beganMs;
  };
  return { start, works, until };
}

test('it is green while both work, and a hundred who ask at once cost one token', async (t) => {
  const { start, works } = kit(t);
  const server = await start();
  t.after(() => server.close());
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 100 }, works))), new Set([true]));
});

test('a signer that is gone turns it red within 5 s, and one that is back turns it green', async (t) => {
  const { start, until } = kit(t);
  const server = await start();
  await until(true);
  await server.close();
  const tookMs = await until(false);
  t.diagnostic(`red ${(tookMs / 1000).toFixed(1)} s after the signer was gone`);
  assert.ok(tookMs <= RED_WITHIN_MS, String(tookMs));
  const again = await start();
  t.after(() => again.close());
  await until(true);
});

test('a signer with a key that nobody here knows turns it red within 5 s', async (t) => {
  const { start, until } = kit(t);
  const server = await start();
  await until(true);
  await server.close();
  const other = await start(newKeys());
  t.after(() => other.close());
  const tookMs = await until(false);
  t.diagnostic(`red ${(tookMs / 1000).toFixed(1)} s after the key was another`);
  assert.ok(tookMs <= RED_WITHIN_MS, String(tookMs));
});

test('a signer that refuses us turns it red', async (t) => {
  const { start, works } = kit(t);
  const server = await start(undefined, { uid: me.uid, pid: 1 });
  t.after(() => server.close());
  assert.equal(await works(), false);
});
