/** A real server with the Execution API on port 0: own database clone, own signer on a Unix socket, own clock. */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomUUID,
  sign,
} from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PublicJwk } from '@airlock/contract/claims';
import { resolveConfig } from '@airlock/contract/config/index';
import { encodeNeeds, type Needs, NO_NEEDS } from '@airlock/contract/dag/needs';
import { z } from '@airlock/contract/schema';
import { decodeEvent, EVENT_CHANNEL, type StoreEvent, sql } from '@airlock/store';
import { createVerifier, thumbprint } from '@airlock/token-verify';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { testDatabase } from '../../../tests/kit/database.ts';
import { createSigner, loadSigningKey, startTokenServer } from '../../../token-sign/src/index.ts';
import { registerExecutionApi } from '../../src/api/execution/index.ts';
import { createHttpServer } from '../../src/api/http/server.ts';
import { createSecretBox } from '../../src/api/secrets/index.ts';
import type { ControlDeps } from '../../src/deps.ts';
import { admitTicket } from '../../src/executors/join-ticket.ts';
import { createTokenMinter } from '../../src/tokens/minter.ts';

z.config({ jitless: true });

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: <T = unknown>() => T;
};
export type Send = {
  readonly token?: string;
  /** Proof key: sends DPoP. Otherwise a bearer. */
  readonly key?: Key;
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  readonly headers?: Record<string, string>;
  /** Another replica than the first. */
  readonly base?: string;
};

export type Key = { readonly privateKey: KeyObject; readonly jwk: PublicJwk; readonly jkt: string };

export function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x } = publicKey.export({ format: 'jwk' });
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: x! } as const;
  return { privateKey, jwk, jkt: thumbprint(jwk) };
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Any JWS, good or bad. */
export function forge(header: object, payload: object, key: KeyObject): string {
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
}

export type ProofParts = {
  htm: string;
  htu: string;
  iat: number;
  token: string | null;
  jti?: string;
  over?: object;
  header?: object;
};

export function makeProof(key: Key, parts: ProofParts): string {
  const ath = parts.token === null ? {} : { ath: createHash('sha256').update(parts.token).digest('base64url') };
  const payload = {
    jti: parts.jti ?? randomBytes(16).toString('hex'),
    htm: parts.htm,
    htu: parts.htu,
    iat: parts.iat,
    ...ath,
  };
  return forge(
    { typ: 'dpop+jwt', alg: 'EdDSA', jwk: key.jwk, ...parts.header },
    { ...payload, ...parts.over },
    key.privateKey,
  );
}

export type SeedTask = {
  readonly taskId?: string;
  readonly mapIndex?: number;
  readonly needs?: Partial<Needs> | null;
  readonly maxTries?: number;
  readonly state?: string | null;
  readonly queue?: string;
  readonly runtime?: string;
  readonly executionTimeoutSeconds?: number | null;
};

/** Everything that a test needs, closed by `await using`. */
export async function startExecutionApi(
  env: Record<string, string> = {},
  options: { readonly realTime?: boolean; readonly leewaySeconds?: number } = {},
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
  const signingKey = loadSigningKey(join(home, 'keys'), true);
  const signer = createSigner({
    key: signingKey,
    issuer: null,
    userAudience: config.api_auth.jwt_audience,
    nowMs: clock.nowMs,
  });
  const socketPath = join(home, 'token', 'token.sock');
  const tokenServer = await startTokenServer({
    socketPath,
    signer,
    credentialsOf: () => ({ uid: 0, pid: process.pid }),
    peerUids: [],
    onRefused: () => undefined,
  });
  tokenServer.setPeer({ uid: 0, pid: process.pid });
  const minter = createTokenMinter({ socketPath, clock });
  const keys = await minter.jwks();
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
      userAudience: config.api_auth.jwt_audience,
      leewaySeconds: options.leewaySeconds ?? config.api_auth.jwt_leeway,
    });
  const deps: ControlDeps = {
    db,
    clock,
    log: pino({ level: process.env.TEST_LOG ?? 'silent' }),
    config,
    minter,
    verifier: newVerifier(),
    events: {
      on: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      onGap: () => () => undefined,
    },
    secrets: createSecretBox(randomBytes(32).toString('base64url')),
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
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000);

  const call = async (method: string, path: string, send: Send = {}): Promise<Answer> => {
    const headers: Record<string, string> = { ...send.headers };
    const url = `${send.base ?? base}${path}`;
    if (send.token !== undefined && !headers.authorization) {
      headers.authorization = `${send.key ? 'DPoP' : 'Bearer'} ${send.token}`;
    }
    if (send.key && !headers.dpop) {
      const htu = new URL(url);
      headers.dpop = makeProof(send.key, {
        htm: method,
        htu: `${htu.origin}${htu.pathname}`,
        iat: nowSeconds(),
        token: send.token ?? null,
      });
    }
    if (send.json !== undefined) headers['content-type'] = 'application/json';
    const body = send.json !== undefined ? JSON.stringify(send.json) : send.body;
    const response = await fetch(url, { method, headers, body: body as BodyInit | undefined, redirect: 'manual' });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: <T>() => JSON.parse(text) as T };
  };

  const one = async <T>(statement: ReturnType<typeof sql>): Promise<T> => (await db.query<T>(statement))[0]!;
  let runs = 0;

  /** A Dag with one version and one running run; returns what its tasks need. */
  const seedRun = async (dagId = `dag_${randomBytes(3).toString('hex')}`, team: string | null = null) => {
    const nowIso = new Date(clock.nowMs()).toISOString();
    await db.query(
      sql`INSERT INTO dag_bundle (name, kind, path) VALUES ('dags-folder', 'local', '/dags') ON CONFLICT DO NOTHING`,
    );
    if (team) await db.query(sql`INSERT INTO team (name) VALUES (${team}) ON CONFLICT DO NOTHING`);
    await db.query(sql`INSERT INTO dag (dag_id, bundle_name, relative_fileloc, fileloc, team, display_name, timetable_type,
      is_paused, max_active_runs, max_active_tasks, last_parsed_at)
      VALUES (${dagId}, 'dags-folder', 'a.ts', '/dags/a.ts', ${team}, ${dagId}, 'NullTimetable', false, 16, 16, ${nowIso}) ON CONFLICT DO NOTHING`);
    const known = await db.query<{ id: string }>(sql`SELECT id FROM dag_version WHERE dag_id = ${dagId}`);
    const versionId = known[0]?.id ?? randomUUID();
    if (!known[0]) {
      await db.query(
        sql`INSERT INTO dag_module (hash, code, created_at) VALUES (${'ab'.repeat(32)}, 'export default 1', ${nowIso}) ON CONFLICT DO NOTHING`,
      );
      await db.query(sql`INSERT INTO dag_version (id, dag_id, version_number, bundle_name, digest, document, source, module_hash, created_at)
        VALUES (${versionId}, ${dagId}, 1, 'dags-folder', 'x', ${JSON.stringify(document(dagId))}::json, 'src', ${'ab'.repeat(32)}, ${nowIso})`);
      await db.query(sql`UPDATE dag SET current_version_id = ${versionId} WHERE dag_id = ${dagId}`);
    }
    const runId = `manual__${++runs}`;
    const run = await one<{
      id: number;
    }>(sql`INSERT INTO dag_run (dag_id, run_id, team, state, run_type, triggered_by, run_after, start_date, updated_at)
      VALUES (${dagId}, ${runId}, ${team}, 'running', 'manual', 'rest_api', ${nowIso}, ${nowIso}, ${nowIso}) RETURNING id`);
    return { dagId, runId, dagRunId: run.id, versionId, team };
  };
  type Run = Awaited<ReturnType<typeof seedRun>>;

  const seedTask = async (run: Run, task: SeedTask = {}) => {
    const nowIso = new Date(clock.nowMs()).toISOString();
    const id: string = randomUUID();
    const taskId = task.taskId ?? 'extract';
    const needs = task.needs === null ? null : encodeNeeds({ ...NO_NEEDS, ...task.needs });
    await db.query(sql`INSERT INTO task_instance (id, dag_run_id, dag_id, run_id, task_id, map_index, team, dag_version_id, state,
      try_number, max_tries, task_display_name, runtime, pool, queue, needs, execution_timeout_seconds, queued_at, updated_at)
      VALUES (${id}, ${run.dagRunId}, ${run.dagId}, ${run.runId}, ${taskId}, ${task.mapIndex ?? -1}, ${run.team}, ${run.versionId},
        ${task.state === undefined ? 'queued' : task.state}, 1, ${task.maxTries ?? 0}, ${taskId}, ${task.runtime ?? 'typescript'}, 'default_pool',
        ${task.queue ?? 'typescript'}, ${needs}, ${task.executionTimeoutSeconds ?? null}, ${nowIso}, ${nowIso})`);
    return { id, taskId, mapIndex: task.mapIndex ?? -1, run };
  };

  const joinWorker = async (roles: Array<'worker' | 'parse'> = ['worker']) => {
    const key = newKey();
    const ticket = randomBytes(32).toString('base64url');
    await admitTicket(db, { ticket, roles }, clock.nowMs());
    const answer = await call('POST', '/supervisors', {
      key,
      json: {
        ticket,
        public_jwk: key.jwk,
        hostname: 'worker-1',
        unixname: 'airflow',
        pid: 1,
        roles,
        sandbox_tier: 'namespaces',
        version: '0.1.0',
      },
    });
    if (answer.status !== 201) throw new Error(`join: ${answer.status} ${answer.text}`);
    const joined = answer.json<{ supervisor_id: string; tokens: Record<string, string> }>();
    return { key, ticket, id: joined.supervisor_id, tokens: joined.tokens };
  };
  type Worker = Awaited<ReturnType<typeof joinWorker>>;

  const claim = async (worker: Worker, slots = 1, over: object = {}) => {
    const answer = await call('POST', '/workloads/claim', {
      key: worker.key,
      token: worker.tokens.worker!,
      json: { slots, queues: ['*'], wait_seconds: 0, ...over },
    });
    return answer.json<{
      workloads: Array<{ token: string; ti: { id: string }; airlock?: { workload_jti: string } }>;
    }>().workloads;
  };

  const runBody = (over: object = {}) => ({
    state: 'running',
    hostname: 'worker-1',
    unixname: 'airflow',
    pid: 4242,
    start_date: new Date(clock.nowMs()).toISOString(),
    ...over,
  });

  /** A running try with its bound execution token. */
  const startTry = async (task: SeedTask = {}, on?: Run) => {
    const run = on ?? (await seedRun());
    const ti = await seedTask(run, task);
    const worker = await joinWorker();
    const workloads = await claim(worker, 1000);
    const workload = workloads.find((each) => each.ti.id === ti.id);
    if (!workload) throw new Error('not claimed');
    const answer = await call('PATCH', `/task-instances/${ti.id}/run`, {
      key: worker.key,
      token: workload.token,
      json: runBody(),
    });
    if (answer.status !== 200) throw new Error(`run: ${answer.status} ${answer.text}`);
    const token = answer.headers.get('refreshed-api-token')!;
    return { ...ti, worker, workload, key: worker.key, token, context: answer };
  };

  const close = async () => {
    for (const app of apps) await app.close();
    minter.close();
    await tokenServer.close();
    await stopListening();
    await database.close();
    await rm(home, { recursive: true, force: true });
  };
  return {
    addReplica,
    base,
    call,
    claim,
    close,
    config,
    db,
    deps,
    home,
    joinWorker,
    minter,
    one,
    runBody,
    seedRun,
    seedTask,
    signer,
    signingKey,
    startTry,
    socketPath,
    tokenServer,
    nowMs: clock.nowMs,
    nowSeconds,
    /** Moves the clock of server, signer and proofs. */
    advance: (seconds: number) => {
      offsetMs += seconds * 1000;
    },
    publicKeyAsSecret: () => createPrivateKey(signingKey.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string),
    [Symbol.asyncDispose]: close,
  };
}
export type Server = Awaited<ReturnType<typeof startExecutionApi>>;
export type Try = Awaited<ReturnType<Server['startTry']>>;

const operator = (task_id: string, downstream: string[]) => ({
  __type: 'operator',
  __var: { task_id, task_type: 'TypeScriptOperator', _task_module: 'airlock.sdk', downstream_task_ids: downstream },
});

/** extract → load → report, and `side`, which comes after nothing. */
function document(dagId: string): unknown {
  return {
    __version: 3,
    dag: {
      dag_id: dagId,
      fileloc: '/dags/a.ts',
      relative_fileloc: 'a.ts',
      timezone: 'UTC',
      timetable: { __type: 'airflow.timetables.simple.NullTimetable', __var: {} },
      tasks: [
        operator('extract', ['load']),
        operator('load', ['report']),
        operator('report', []),
        operator('side', []),
      ],
      dag_dependencies: [],
      task_group: { _group_id: null, children: {} },
    },
  };
}
