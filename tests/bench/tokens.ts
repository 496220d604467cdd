/** What tokens cost: to make and to verify by each algorithm, to renew, to revoke, and what authentication adds to a request. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { PairAlgorithm, SigningAlgorithm } from '@airlock/contract/signing-algorithms';
import { createProofVerifier, createVerifier } from '@airlock/token-verify';
import { type Authenticator, createAuthenticator } from '../../control/src/api/execution/authenticate.ts';
import { EXECUTION_POLICY } from '../../control/src/api/execution/policy.ts';
import { createHttpServer } from '../../control/src/api/http/server.ts';
import { mountRest } from '../../control/src/api/rest/index.ts';
import { makeProof, newKey, startExecutionApi } from '../../control/test/execution/kit.ts';
import { restKit } from '../../control/test/rest-kit.ts';
import { createSigner, keyPair, oneKeyPair, type SigningKeys, secretKey } from '../../token-sign/src/index.ts';
import { startTestCluster } from '../kit/cluster.ts';
import { quantile } from './drive.ts';

/** Operations in a second, and in a second of one core's time, which counts all threads. */
export type Rate = { readonly perSecond: number; readonly perCore: number };
export type AlgorithmCost = {
  readonly alg: SigningAlgorithm;
  /** Signing, and the check of what was signed. */
  readonly mint: Rate;
  readonly verify: Rate;
};
/** Of one request: median from sending to the last byte, and mean processor time, which a busy machine does not change; ms. */
export type Spent = { readonly p50: number; readonly cpu: number };
export type RequestCost = { readonly without: Spent; readonly known: Spent; readonly fresh: Spent };

type Times = { readonly wall: number[]; readonly cpu: number[] };
const timesOf = (): Times => ({ wall: [], cpu: [] });

const ID = '01890000-0000-7000-8000-000000000000';
const newJti = () => randomBytes(16).toString('hex');

/** Runs `work` for each item, `atOnce` at a time. */
async function rate<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<unknown>): Promise<Rate> {
  const left = [...items];
  const cpu = process.cpuUsage();
  const beganMs = performance.now();
  const one = async () => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  const seconds = (performance.now() - beganMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: items.length / seconds, perCore: items.length / ((user + system) / 1e6) };
}

function keysFor(alg: SigningAlgorithm): SigningKeys {
  if (alg.startsWith('HS')) return secretKey('S'.repeat(64), alg as 'HS512', 'not-used');
  const made = {
    EdDSA: () => generateKeyPairSync('ed25519'),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    RS512: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  }[alg as PairAlgorithm]();
  return oneKeyPair(keyPair(made.privateKey, alg as PairAlgorithm, null));
}

/** Making and verifying one at a time, without remembering anything. */
export async function measureAlgorithms(repeat: number): Promise<AlgorithmCost[]> {
  const costs: AlgorithmCost[] = [];
  for (const alg of ['EdDSA', 'ES256', 'RS256', 'HS512'] as const) {
    const keys = keysFor(alg);
    const nowMs = Date.now();
    const signer = createSigner({ keys, issuer: null, userAudience: 'apache-airflow', nowMs: () => nowMs });
    const { jwks } = keys.verificationKeys();
    const options = {
      keys: jwks,
      secret: keys.secret,
      userAudience: 'apache-airflow',
      leewaySeconds: 10,
      cacheSize: 0,
    };
    const verifier = createVerifier(options);
    const tokens: string[] = [];
    const mint = async () =>
      tokens.push(await signer.mint({ kind: 'execution', sub: ID, ttl_seconds: 300, jti: newJti(), now_ms: nowMs }));
    await rate(Array(100).fill(0), 1, mint);
    const minted = await rate(Array(repeat).fill(0), 1, mint);
    const verified = await rate(tokens.slice(-repeat), 1, (token) => verifier.verify('execution', token, nowMs));
    costs.push({ alg, mint: minted, verify: verified });
  }
  return costs;
}

/**
 * One small answer of the REST API: without authentication, with a token seen before, with a new one each time. Caller and
 * server are one process and the caller does the same each time, so the differences are the server's.
 */
export async function measureRequests(repeat: number): Promise<RequestCost> {
  await using kit = await restKit();
  const user = { name: 'admin', role: 'admin', teams: [], via: 'bearer' } as const;
  const open = createHttpServer(kit.deps);
  mountRest(open, kit.deps, async () => user);
  const openBase = await open.listen({ host: '127.0.0.1', port: 0 });
  try {
    const spent = { without: timesOf(), known: timesOf(), fresh: timesOf() };
    const known = await kit.tokenOf('admin');
    const ask = async (base: string, token: string, into: Times | null): Promise<void> => {
      const cpu = process.cpuUsage();
      const beganMs = performance.now();
      const answer = await fetch(`${base}/api/v2/pools?limit=1`, { headers: { authorization: `Bearer ${token}` } });
      await answer.arrayBuffer();
      if (answer.status !== 200) throw new Error(`the request was answered ${answer.status}`);
      const { user, system } = process.cpuUsage(cpu);
      into?.wall.push(performance.now() - beganMs);
      into?.cpu.push((user + system) / 1000);
    };
    // In turn, so that whatever else the machine does meets all three.
    for (let n = -50; n < repeat; n++) {
      const fresh = await kit.tokenOf('admin');
      const into = n < 0 ? null : spent;
      await ask(openBase, known, into?.without ?? null);
      await ask(kit.base, known, into?.known ?? null);
      await ask(kit.base, fresh, into?.fresh ?? null);
    }
    const sum = ({ wall, cpu }: Times): Spent => ({
      p50: quantile(wall, 0.5),
      cpu: cpu.reduce((total, each) => total + each, 0) / cpu.length,
    });
    return { without: sum(spent.without), known: sum(spent.known), fresh: sum(spent.fresh) };
  } finally {
    await open.close();
  }
}

/** Median time, ms, to identify a supervisor's request: its execution token (seen before) and its proof, which is always new. */
export async function measureProof(repeat: number): Promise<number> {
  const nowMs = Date.now();
  const keys = keysFor('EdDSA');
  const key = newKey();
  const signer = createSigner({ keys, issuer: null, userAudience: 'apache-airflow', nowMs: () => nowMs });
  const token = await signer.mint({
    kind: 'execution',
    sub: ID,
    ttl_seconds: 300,
    jti: newJti(),
    jkt: key.jkt,
    now_ms: nowMs,
  });
  const nonce = 'n'.repeat(32);
  const authenticator = createAuthenticator({
    verifier: createVerifier({ keys: keys.verificationKeys().jwks, userAudience: 'apache-airflow', leewaySeconds: 10 }),
    proofs: createProofVerifier({ nonce }),
    bindingRequired: true,
    firstShown: async () => true,
    nowMs: () => nowMs,
    publicBases: [],
  });
  const path = `/execution/task-instances/${ID}/heartbeat`;
  const row = EXECUTION_POLICY['PUT /task-instances/:task_instance_id/heartbeat']!;
  const times: number[] = [];
  for (let n = -100; n < repeat; n++) {
    const proof = makeProof(key, {
      htm: 'PUT',
      htu: `http://127.0.0.1:8080${path}`,
      iat: Math.floor(nowMs / 1000),
      token,
      over: { nonce },
    });
    const request = {
      method: 'PUT',
      protocol: 'http',
      host: '127.0.0.1:8080',
      headers: { authorization: `DPoP ${token}`, dpop: proof },
      raw: { url: path },
    } as unknown as Parameters<Authenticator['identify']>[0];
    const beganMs = performance.now();
    await authenticator.identify(request, row, ID);
    if (n >= 0) times.push(performance.now() - beganMs);
  }
  return quantile(times, 0.5);
}

/** Renewals in a second, eight at once over HTTP: heartbeats whose answer carries a successor. The callers are in the same process. */
export async function measureRenewals(repeat: number): Promise<Rate> {
  await using server = await startExecutionApi();
  const tries = await server.startMany(repeat);
  server.advance(250);
  const json = { hostname: 'worker-1', pid: 4242 };
  return await rate(tries, 8, async (ti) => {
    const answer = await server.call('PUT', `/task-instances/${ti.id}/heartbeat`, {
      key: ti.key,
      token: ti.token,
      json,
    });
    if (!answer.headers.has('refreshed-api-token')) throw new Error(`no renewal: ${answer.status} ${answer.text}`);
  });
}

/** Log-outs in a second, eight at once over HTTP, each of another token. The callers are in the same process. */
export async function measureRevocations(repeat: number): Promise<Rate> {
  await using kit = await restKit();
  const tokens: string[] = [];
  for (let n = 0; n < repeat; n++) tokens.push(await kit.tokenOf('admin'));
  return await rate(tokens, 8, async (token) => {
    const { status } = await fetch(`${kit.base}/api/v2/auth/logout`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      redirect: 'manual',
    });
    if (status >= 400) throw new Error(`the log-out was answered ${status}`);
  });
}

/** Everything above, as lines for people, on a PostgreSQL of its own. */
export async function tokenLines(quick: boolean): Promise<string[]> {
  const cluster = await startTestCluster();
  // The kits of tests look here for a cluster, and would otherwise start one that only a test run ends.
  process.env.AIRLOCK_TEST_PG = cluster.url;
  try {
    return await linesOf(quick);
  } finally {
    delete process.env.AIRLOCK_TEST_PG;
    await cluster.stop();
  }
}

async function linesOf(quick: boolean): Promise<string[]> {
  const show = ({ perSecond, perCore }: Rate) =>
    `${perSecond.toFixed(0).padStart(7)}/s ${perCore.toFixed(0).padStart(7)}/s of a core`;
  const ms = (value: number) => `${value.toFixed(3)} ms`;
  const lines = ['', 'tokens, in one process, one at a time, nothing remembered'];
  for (const { alg, mint, verify } of await measureAlgorithms(quick ? 300 : 2_000)) {
    lines.push(`  ${alg.padEnd(6)} mint (and check)${show(mint)}   verify${show(verify)}`);
  }
  const renewals = await measureRenewals(quick ? 100 : 500);
  const revocations = await measureRevocations(quick ? 200 : 1_000);
  lines.push('over HTTP, eight at once, callers in the same process');
  lines.push(`  renew (heartbeat, proof, minted successor) ${show(renewals)}`);
  lines.push(`  revoke (log-out)                           ${show(revocations)}`);
  const { without, known, fresh } = await measureRequests(quick ? 300 : 2_000);
  const proof = await measureProof(quick ? 300 : 2_000);
  const added = (to: Spent) => `p50 ${ms(to.p50 - without.p50)}, processor ${ms(to.cpu - without.cpu)}`;
  lines.push(
    `a REST request without authentication: p50 ${ms(without.p50)}, processor ${ms(without.cpu)}`,
    `  authentication adds, with a token seen before: ${added(known)}; goal <= 0.3`,
    `  with a new token each time: ${added(fresh)}`,
    `  token and proof of a supervisor's request: p50 ${ms(proof)}; goal <= 0.3`,
    '',
  );
  return lines;
}
