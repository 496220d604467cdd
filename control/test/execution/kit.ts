/** A real server with the Execution API on port 0: own database clone, own signer on a Unix socket, own clock. */
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shownConfig } from '@airlock/contract/config/handed';
import { resolveConfig } from '@airlock/contract/config/index';
import { z } from '@airlock/contract/schema';
import type { EnvironmentSecrets } from '@airlock/secret-backends';
import { decodeEvent, EVENT_CHANNEL, type StoreEvent } from '@airlock/store';
import { createVerifier, type KeySet } from '@airlock/token-verify';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { testDatabase } from '../../../tests/kit/database.ts';
import { createSigner, keyPair, oneKeyPair, startTokenServer } from '../../../token-sign/src/index.ts';
import { registerExecutionApi } from '../../src/api/execution/index.ts';
import { createHttpServer } from '../../src/api/http/server.ts';
import { createSecretBox } from '../../src/api/secrets/index.ts';
import { openSecretSources } from '../../src/api/secrets/sources.ts';
import type { ControlDeps } from '../../src/deps.ts';
import { createTokenMinter } from '../../src/tokens/minter.ts';
import { createSigningCheck } from '../../src/tokens/signing-check.ts';
import { createScene } from './scene.ts';

export { forge, type Key, makeProof, newKey, type ProofParts } from './proofs.ts';
export type { Answer, SeedTask, Send, Try } from './scene.ts';

z.config({ jitless: true });

/** Everything that a test needs, closed by `await using`. */
export async function startExecutionApi(
  env: Record<string, string> = {},
  options: {
    readonly realTime?: boolean;
    readonly leewaySeconds?: number;
    readonly trusted?: KeySet;
    readonly environment?: EnvironmentSecrets;
  } = {},
) {
  const home = await mkdtemp(join(tmpdir(), 'airlock-exec-'));
  const config = resolveConfig({
    env: { AIRLOCK_HOME: home, AIRLOCK__LOGGING__BASE_LOG_FOLDER: join(home, 'logs'), ...env },
    ini: {},
    expand: (text: string) => text,
  } as unknown as Parameters<typeof resolveConfig>[0]);
  const database = await testDatabase();
  const { db } = database;
  let offsetMs = 0;
  // A whole second, so that a lifetime computed from it is exact.
  const startedMs = Math.floor(Date.now() / 1000) * 1000;
  const clock = { nowMs: () => (options.realTime ? Date.now() : startedMs) + offsetMs };
  const { privateKey } = generateKeyPairSync('ed25519');
  const pair = keyPair(privateKey, 'EdDSA', null);
  const signingKey = { ...pair, privateKey };
  const signingKeys = oneKeyPair(pair);
  const signer = createSigner({
    keys: signingKeys,
    issuer: null,
    userAudience: config.api_auth.jwt_audience,
    nowMs: clock.nowMs,
  });
  const socketPath = join(home, 'token', 'token.sock');
  const tokenServer = await startTokenServer({
    socketPath,
    service: { signer, keys: signingKeys, folder: null },
    credentialsOf: () => ({ uid: 0, pid: process.pid }),
    peerUids: [],
    onRefused: () => undefined,
  });
  tokenServer.setPeer({ uid: 0, pid: process.pid });
  const minter = createTokenMinter({ socketPath, clock });
  const { jwks: keys } = await minter.keys();
  const listeners = new Set<(event: StoreEvent) => void>();
  const stopListening = await db.listen(
    EVENT_CHANNEL,
    (payload) => {
      const event = decodeEvent(payload);
      if (event) for (const listener of listeners) listener(event);
    },
    () => undefined,
  );
  const newVerifier = () =>
    createVerifier({
      keys,
      trusted: options.trusted,
      airflowWorkloads: config.execution_api.airflow_workload_tokens,
      userAudience: config.api_auth.jwt_audience,
      leewaySeconds: options.leewaySeconds ?? config.api_auth.jwt_leeway,
    });
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const verifier = newVerifier();
  const environment = options.environment ?? { connections: {}, variables: {} };
  const secretSources = openSecretSources(config, environment, { nowMs: clock.nowMs, log });
  const deps: ControlDeps = {
    db,
    clock,
    log,
    config,
    shownConfig: shownConfig(config),
    minter,
    verifier,
    signingWorks: createSigningCheck({ minter, verifier, clock, log }),
    trustedKeysOverdue: () => false,
    events: {
      on: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      onGap: () => () => undefined,
    },
    secrets: createSecretBox(randomBytes(32).toString('base64url')),
    secretSources,
    instanceId: randomUUID(),
  };
  const apps: FastifyInstance[] = [];
  /** One more server process, as far as it can be told: nothing shared but database and signer. @returns its base address */
  const addReplica = async (): Promise<string> => {
    const app = createHttpServer(deps);
    registerExecutionApi(app, { ...deps, verifier: newVerifier() });
    await app.listen({ host: '127.0.0.1', port: 0 });
    apps.push(app);
    const address = app.server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/execution`;
  };
  const base = await addReplica();
  const scene = createScene({ db, base, nowMs: clock.nowMs });

  const close = async () => {
    for (const app of apps) await app.close();
    secretSources.close();
    minter.close();
    await tokenServer.close();
    await stopListening();
    await database.close();
    await rm(home, { recursive: true, force: true });
  };
  return {
    database,
    ...scene,
    apps,
    addReplica,
    base,
    close,
    config,
    db,
    deps,
    home,
    minter,
    signer,
    signingKey,
    socketPath,
    tokenServer,
    nowMs: clock.nowMs,
    /** Moves the clock of server, signer and proofs. */
    advance: (seconds: number) => {
      offsetMs += seconds * 1000;
    },
    [Symbol.asyncDispose]: close,
  };
}
export type Server = Awaited<ReturnType<typeof startExecutionApi>>;
