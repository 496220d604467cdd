/** A REST server on a database of its own, with real signatures and real sockets, and somebody to ask it for each role. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TASK_AUDIENCE, TOKEN_PROFILES } from '@airlock/contract/claims';
import type { Clock } from '@airlock/contract/clock';
import { shownConfig } from '@airlock/contract/config/handed';
import { resolveConfig } from '@airlock/contract/config/index';
import { createVerifier, thumbprint } from '@airlock/token-verify';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { type TestDatabase, testDatabase } from '../../tests/kit/database.ts';
import { createAccount } from '../src/api/auth/accounts.ts';
import { createAuthenticator } from '../src/api/auth/identity.ts';
import { registerAuthApi } from '../src/api/auth/index.ts';
import { mountDocs } from '../src/api/docs/index.ts';
import { createHttpServer } from '../src/api/http/server.ts';
import { mountRest } from '../src/api/rest/index.ts';
import { makeDeps, type RestDeps } from '../src/api/rest/route.ts';
import { createSecretBox } from '../src/api/secrets/index.ts';
import { mountUi } from '../src/api/ui/index.ts';
import type { ControlDeps } from '../src/deps.ts';
import { createEventHub } from '../src/events.ts';
import { createSigningCheck } from '../src/tokens/signing-check.ts';

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are read by tests, which say what they expect of them
  readonly body: any;
};
export type Caller = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

export type RestKit = AsyncDisposable & {
  readonly app: FastifyInstance;
  readonly base: string;
  readonly deps: RestDeps;
  readonly database: TestDatabase;
  readonly logFolder: string;
  readonly clock: {
    nowMs: () => number;
    shift: (ms: number) => void;
    /** Stands still from now on, whatever the machine's speed; `shift` still moves it. @returns what lets it run again */
    hold: () => () => void;
  };
  /** Without a token. */
  readonly anonymous: Caller;
  readonly as: Readonly<Record<'viewer' | 'user' | 'op' | 'admin', Caller>>;
  readonly withToken: (token: string) => Caller;
  /** Another API server on the same database, with caches and a listener of its own. */
  readonly replica: () => Promise<{ base: string } & AsyncDisposable>;
  /** Shows what the server logs from now on. */
  readonly onLogLine: (listener: (line: string) => void) => void;
  readonly tokenOf: (name: string, over?: Record<string, unknown>) => Promise<string>;
};

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

const notHere = async () => {
  throw new Error('this server has one key and no signer');
};
const noKeyChanges = { checkSecret: notHere, listKeys: notHere, rotateKey: notHere, retireKey: notHere };

export const PASSWORD = 'correct horse battery';

export async function restKit(options: { config?: Record<string, string> } = {}): Promise<RestKit> {
  const database = await testDatabase();
  const logFolder = mkdtempSync(join(tmpdir(), 'airlock-rest-'));
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const jwk = publicKey.export({ format: 'jwk' }) as { kty: 'OKP'; crv: 'Ed25519'; x: string };
  const kid = await thumbprint(jwk);
  const keys = { keys: [{ ...jwk, kid, alg: 'EdDSA' as const, use: 'sig' as const }] };
  let shiftMs = 0;
  let heldMs: number | null = null;
  const clock = {
    nowMs: () => (heldMs ?? Date.now()) + shiftMs,
    shift: (ms: number) => {
      shiftMs += ms;
    },
    hold: () => {
      heldMs = Date.now();
      return () => {
        heldMs = null;
      };
    },
  } satisfies Clock & Record<string, unknown>;
  const mint: ControlDeps['minter']['mint'] = async (kind, given) => {
    const iat = Math.floor((given.issuedAtMs ?? clock.nowMs()) / 1000);
    const aud = kind === 'user' ? 'apache-airflow' : TASK_AUDIENCE;
    const scope = kind === 'workload' || kind === 'execution' ? { scope: kind } : {};
    const claims = { aud, ...scope, iat, nbf: iat, exp: iat + given.ttlSeconds, jti: given.jti, sub: given.sub };
    const signed = `${part({ alg: 'EdDSA', kid, typ: TOKEN_PROFILES[kind].typ })}.${part(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
  };
  const logListeners: Array<(line: string) => void> = [];
  const log = pino(
    { level: process.env.TEST_LOG ?? 'info' },
    {
      write: (line: string) => {
        if (process.env.TEST_LOG) process.stderr.write(line);
        for (const listener of logListeners) listener(line);
      },
    },
  );
  const events = await createEventHub(database.db, log);
  const config = resolveConfig({
    env: { AIRLOCK__LOGGING__BASE_LOG_FOLDER: logFolder, ...options.config },
    ini: {},
    expand: (text) => text,
  });
  const verifier = createVerifier({ keys, userAudience: 'apache-airflow', leewaySeconds: 10, cacheSize: 1000 });
  const control: ControlDeps = {
    db: database.db,
    clock,
    log,
    config,
    minter: { mint, keys: async () => ({ jwks: keys, secret: null }), ...noKeyChanges, close: () => undefined },
    shownConfig: shownConfig(config),
    verifier,
    signingWorks: createSigningCheck({ minter: { mint }, verifier, clock, log }),
    trustedKeysOverdue: () => false,
    events,
    secrets: createSecretBox(Buffer.alloc(32, 7).toString('base64url')),
    secretSources: { list: [], close: () => undefined },
    instanceId: '00000000-0000-4000-8000-000000000000',
  };
  const deps = makeDeps(control, createAuthenticator(control));
  const app = createHttpServer(deps, { trustedProxies: config.api.trusted_proxies });
  deps.auth.register(app);
  registerAuthApi(app, deps);
  mountRest(app, deps, deps.auth.userOf);
  mountUi(app, deps);
  mountDocs(app, config.api.enable_swagger_ui);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const address = app.server.address() as { port: number };
  const base = `http://127.0.0.1:${address.port}`;

  const caller =
    (token: string | null): Caller =>
    async (method, path, body, headers = {}) => {
      const sent: Record<string, string> = {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      };
      const isText = typeof body === 'string';
      if (body !== undefined && sent['content-type'] === undefined) sent['content-type'] = 'application/json';
      const response = await fetch(base + (/^\/(auth|api|ui)\//.test(path) ? path : `/api/v2${path}`), {
        method,
        headers: sent,
        body: body === undefined ? undefined : isText ? (body as string) : JSON.stringify(body),
        redirect: 'manual',
      });
      const text = await response.text();
      const json = response.headers.get('content-type')?.startsWith('application/json') && text !== '';
      return { status: response.status, headers: response.headers, text, body: json ? JSON.parse(text) : null };
    };
  let serial = 0;
  const tokenOf: RestKit['tokenOf'] = async (name, over = {}) =>
    mint('user', {
      sub: name,
      ttlSeconds: 3600,
      jti: (++serial).toString(16).padStart(32, '0'),
      ...over,
    } as Parameters<typeof mint>[1]);
  const replica = async () => {
    const hub = await createEventHub(database.db, log);
    const own: ControlDeps = { ...control, events: hub };
    const ownDeps = makeDeps(own, createAuthenticator(own));
    const server = createHttpServer(ownDeps);
    mountRest(server, ownDeps, ownDeps.auth.userOf);
    await server.listen({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as { port: number };
    const close = async () => {
      await server.close();
      await hub.close();
    };
    return { base: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: close };
  };
  const roles = ['viewer', 'user', 'op', 'admin'] as const;
  const as = {} as Record<(typeof roles)[number], Caller>;
  for (const role of roles) {
    await createAccount(deps, 'test', { name: role, role, password: role === 'admin' ? PASSWORD : null });
    as[role] = caller(await tokenOf(role));
  }
  const dispose = async () => {
    await app.close();
    await events.close();
    await database.close();
    rmSync(logFolder, { recursive: true, force: true });
  };
  return {
    app,
    base,
    deps,
    database,
    logFolder,
    clock,
    anonymous: caller(null),
    as,
    withToken: caller,
    replica,
    tokenOf,
    onLogLine: (listener) => void logListeners.push(listener),
    [Symbol.asyncDispose]: dispose,
  };
}
