// A proof of possession counts once in a deployment: on three API servers that are processes of their own.
import assert from 'node:assert/strict';
import { createServer, type Server as HttpServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { sql } from '@airlock/store';
import { createExecutionClient } from '../../../supervisor/src/client/index.ts';
import { type Replicas, startReplicas } from '../../../tests/kit/replicas.ts';
import { scaled } from '../../../tests/kit/seed.ts';
import { makeProof } from './proofs.ts';
import { type Answer, createScene, type Scene, type Try } from './scene.ts';

let cluster: Replicas;
let scene: Scene;
let ti: Try;
const bases = () => cluster.replicas.map((replica) => `${replica.url()}/execution`);

before(async () => {
  // One public address, as behind a balancer: so one proof fits all replicas.
  cluster = await startReplicas({ env: { AIRLOCK__CORE__EXECUTION_API_SERVER_URL: 'https://airlock.test/execution' } });
  scene = createScene({ db: cluster.database.db, base: bases()[0]!, nowMs: Date.now });
  ti = await scene.startTry({ needs: { variables: ['v'] } });
});
after(() => cluster?.[Symbol.asyncDispose]());

/** A proof that every replica would take, for reading the variable `v`. */
const proof = (over: object = {}) =>
  makeProof(ti.key, {
    htm: 'GET',
    htu: 'https://airlock.test/execution/variables/v',
    iat: scene.nowSeconds(),
    token: ti.token,
    over,
  });
const read = (base: string, dpop: string) =>
  scene.call('GET', '/variables/v', { base, headers: { authorization: `DPoP ${ti.token}`, dpop } });
const nonceOf = async (base: string) => (await read(base, proof())).headers.get('dpop-nonce')!;
/** 404: read, and there is no such variable. */
const ACCEPTED = 404;
const statuses = (answers: readonly Answer[]) => answers.map((answer) => answer.status).sort();

test('a proof that names nobody is taken by one of three replicas that are shown it at once, and by none later', async () => {
  const rounds = scaled(1_000, 100);
  let taken = 0;
  for (let i = 0; i < rounds; i++) {
    const shown = proof();
    const answers = await Promise.all([...bases(), ...bases()].map((base) => read(base, shown)));
    assert.deepEqual(statuses(answers), [403, 403, 403, 403, 403, ACCEPTED]);
    taken += answers.filter((answer) => answer.status === ACCEPTED).length;
    assert.equal((await read(bases()[i % 3]!, shown)).status, 403);
  }
  process.stdout.write(`${rounds} proofs shown 7 times to 3 replicas: taken ${taken} times\n`);
  assert.equal(taken, rounds);
});

test('a proof that names a replica is taken there once and nowhere else, and leaves no row behind', async () => {
  const [here, there] = bases() as [string, string];
  const nonce = await nonceOf(here);
  assert.notEqual(await nonceOf(there), nonce);
  const rows = async () => (await scene.one<{ n: number }>(sql`SELECT count(*)::integer AS n FROM proof_seen`)).n;
  const before = await rows();
  const shown = proof({ nonce });
  const sent = await read(there, shown);
  assert.deepEqual(
    [sent.status, sent.headers.get('www-authenticate'), sent.headers.get('airlock-error'), sent.json()],
    [401, 'DPoP error="use_dpop_nonce"', 'PROOF_NONCE', { detail: 'Use the nonce of this server, or none' }],
  );
  assert.equal((await read(here, shown)).status, ACCEPTED);
  assert.equal((await read(here, shown)).status, 403);
  assert.equal((await read(there, shown)).status, 401);
  assert.equal(await rows(), before);
  assert.equal((await read(here, proof({ nonce }))).status, ACCEPTED, 'the control: a new proof');
});

/** Hands each request to the next replica, as a balancer without memory does. */
async function startBalancer(): Promise<{ url: string; served: () => number } & AsyncDisposable> {
  let served = 0;
  const server: HttpServer = createServer((request, response) => {
    const to = new URL(request.url!, cluster.replicas[served++ % 3]!.url());
    const onward = httpRequest(to, { method: request.method!, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/execution`,
    served: () => served,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

test('our supervisor works through a balancer that sends each request to another replica, at one wrong guess a minute', async () => {
  await using balancer = await startBalancer();
  const worker = await scene.startTry({ needs: { variables: ['v'] } });
  const warnings: object[] = [];
  const log = { debug: () => undefined, warn: (fields: object) => warnings.push(fields) };
  const key = { publicJwk: worker.key.jwk, proof: proofBy(worker) };
  const client = createExecutionClient({ baseUrl: balancer.url, log, key, clock: systemClock });
  const total = scaled(1_000, 100);
  const call = (n: number) =>
    client.call({
      token: { current: worker.token },
      method: n % 2 === 0 ? 'GET' : 'PUT',
      path: n % 2 === 0 ? '/variables/v' : `/task-instances/${worker.id}/heartbeat`,
      ...(n % 2 === 0 ? {} : { json: { hostname: 'worker-1', pid: 4242 } }),
    });
  const answers = [await call(0)];
  for (let n = 1; n < total; n += 20) {
    answers.push(...(await Promise.all(Array.from({ length: 20 }, (_, i) => call(n + i)))));
  }
  await client.close();
  const odd = answers.filter((answer, n) => answer.status !== (n % 2 === 0 ? 404 : 204));
  const repeated = balancer.served() - answers.length;
  process.stdout.write(
    `${answers.length} requests through a balancer over 3 replicas: ${odd.length} failed, ${repeated} sent twice\n`,
  );
  assert.deepEqual([odd.length, warnings.length], [0, 0]);
  // Those that were on their way when the first guess turned out wrong.
  assert.ok(repeated <= 20);
});

const proofBy =
  (holder: Try) =>
  (htm: string, htu: string, nowMs: number, token?: string, nonce?: string): string =>
    makeProof(holder.key, {
      htm,
      htu,
      iat: Math.floor(nowMs / 1000),
      token: token ?? null,
      over: nonce === undefined ? {} : { nonce },
    });

// Last, because the replica is at another port from then on.
test('what a replica took before its restart is not taken after it', async () => {
  const [replica] = cluster.replicas;
  const base = () => `${replica!.url()}/execution`;
  const named = proof({ nonce: await nonceOf(base()) });
  const unnamed = proof();
  assert.deepEqual(statuses([await read(base(), named), await read(base(), unnamed)]), [ACCEPTED, ACCEPTED]);
  await replica!.restart();
  assert.deepEqual([(await read(base(), named)).status, (await read(base(), unnamed)).status], [401, 403]);
  assert.equal((await read(base(), proof())).status, ACCEPTED, 'the control: a new proof');
});
