// Promise L5 on three API servers that are processes of their own: who may exchange a workload token, asked by real processes.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { type Replicas, startReplicas } from '../../../tests/kit/replicas.ts';
import type { Exchange, Exchanged } from './exchange-child.ts';
import { makeProof, newKey } from './proofs.ts';
import { type Answer, createScene, type Scene } from './scene.ts';

let cluster: Replicas;
let scene: Scene;
/** Base address of each replica. */
let bases: readonly string[];

before(async () => {
  cluster = await startReplicas({ env: { AIRLOCK__WORKERS__COMMAND_QUEUES: 'plain' } });
  bases = cluster.replicas.map((replica) => `${replica.url()}/execution`);
  scene = createScene({ db: cluster.database.db, base: bases[0]!, nowMs: Date.now });
});
after(() => cluster?.[Symbol.asyncDispose]());

/** What the row knows a token by. */
const nameOf = (token: string): string => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).jti;
const refreshed = (answer: Answer) => answer.headers.get('refreshed-api-token');

test('L5: of 64 processes that hold one workload token one starts the try, and nobody after its first use', async () => {
  const ti = await scene.seedTask(await scene.seedRun(), { queue: 'plain', runtime: 'python', needs: null });
  const worker = await scene.joinWorker();
  const [workload] = await scene.claim(worker);
  const authorization = { authorization: `Bearer ${workload!.token}` };
  await using crowd = await startCrowd(64);
  const answers = await crowd.exchange((n, pid) => ({
    url: `${bases[n % bases.length]}/task-instances/${ti.id}/run`,
    headers: authorization,
    body: scene.runBody({ pid }),
  }));
  const bought = answers.filter((answer) => answer.token !== null);
  assert.deepEqual(
    bought.map((answer) => answer.status),
    [200],
  );
  assert.equal(answers.filter((answer) => answer.status === 409).length, 63);
  const { pid } = await scene.one<{ pid: number }>(sql`SELECT pid FROM task_instance WHERE id = ${ti.id}`);
  const audited = await scene.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM event_log WHERE event = 'run_refused' AND run_id = ${ti.run.runId}`,
  );
  assert.equal(audited.n, 63);

  // The minute in which a repeat is possible begins now: a busy machine may have let it pass.
  await cluster.database.db.query(
    sql`UPDATE task_instance SET exchanged_at = ${new Date().toISOString()}::timestamptz WHERE id = ${ti.id}`,
  );
  const repeat = () =>
    Promise.all(
      Array.from({ length: 64 }, (_, n) =>
        scene.call('PATCH', `/task-instances/${ti.id}/run`, {
          base: bases[n % bases.length]!,
          token: workload!.token,
          json: scene.runBody({ pid }),
        }),
      ),
    );
  const repeats = await repeat();
  assert.deepEqual(new Set(repeats.map((answer) => answer.status)), new Set([200]));
  const names = new Set([...repeats.map(refreshed), bought[0]!.token].map((token) => nameOf(token!)));
  const texts = [workload!.token, bought[0]!.token!, ...repeats.map((answer) => refreshed(answer)!)];
  const hits = searchProcesses(texts, crowd.pids);

  const token = bought[0]!.token!;
  const used = await scene.call('PUT', `/task-instances/${ti.id}/heartbeat`, {
    base: bases[1]!,
    token,
    json: { hostname: 'worker-1', pid },
  });
  assert.equal(used.status, 204, used.text);
  const late = await repeat();
  const accepted = late.filter((answer) => answer.status !== 409 || refreshed(answer) !== null).length;
  process.stdout.write(
    `L5: 64 exchanges by 64 processes: ${bought.length} token; 64 repeats by one: ${names.size} token; after its first use ` +
      `${accepted} of 64; ${hits.found} hits in the command lines and environments of ${hits.searched} processes\n`,
  );
  assert.deepEqual([names.size, accepted, hits.found], [1, 0, 0]);
  assert.ok(hits.searched >= 64);
});

test('L5: a workload token that is bound to a key starts nothing for 16 processes that have it and not the key', async () => {
  const ti = await scene.seedTask(await scene.seedRun());
  const worker = await scene.joinWorker();
  const [workload] = await scene.claim(worker);
  const at = `/task-instances/${ti.id}/run`;
  await using crowd = await startCrowd(16);
  const answers = await crowd.exchange((n, pid) => {
    const url = `${bases[n % bases.length]}${at}`;
    const iat = scene.nowSeconds();
    const dpop = makeProof(newKey(), { htm: 'PATCH', htu: url, iat, token: workload!.token });
    const headers: Record<string, string> =
      n % 2 === 0 ? { authorization: `Bearer ${workload!.token}` } : { authorization: `DPoP ${workload!.token}`, dpop };
    return { url, headers, body: scene.runBody({ pid }) };
  });
  assert.deepEqual(
    answers,
    answers.map(() => ({ status: 403, token: null })),
  );
  const holder = await scene.call('PATCH', at, { key: worker.key, token: workload!.token, json: scene.runBody() });
  assert.equal(holder.status, 200, 'the control: with its key');
});

/** Processes of their own that wait for a word, so that all ask at the same time. */
async function startCrowd(size: number) {
  const children = Array.from({ length: size }, () =>
    fork(join(import.meta.dirname, 'exchange-child.ts'), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: [],
    }),
  );
  const word = (child: ChildProcess) =>
    new Promise<unknown>((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`a child ended with ${code}`)));
    });
  await Promise.all(children.map(word));
  return {
    pids: children.map((child) => child.pid!),
    exchange: (make: (n: number, pid: number) => Exchange) =>
      Promise.all(
        children.map((child, n) => {
          const answer = word(child) as Promise<Exchanged>;
          child.send(make(n, child.pid!));
          return answer;
        }),
      ),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(
        children.map((child) => {
          const gone = new Promise((resolve) => child.once('exit', resolve));
          child.disconnect();
          return gone;
        }),
      );
    },
  };
}

/** Looks for texts in what every process of the machine shows of itself. `sure` must be among those that could be read. */
function searchProcesses(texts: readonly string[], sure: readonly number[]): { found: number; searched: number } {
  const read = (pid: number, file: string): string | null => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1');
    } catch {
      return null; // gone meanwhile, or not dumpable
    }
  };
  let found = 0;
  let searched = 0;
  const seen = new Set<number>();
  for (const pid of readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const [line, environment] = [read(pid, 'cmdline'), read(pid, 'environ')];
    if (line === null || environment === null) continue;
    seen.add(pid);
    searched++;
    if (texts.some((text) => line.includes(text) || environment.includes(text))) found++;
  }
  for (const pid of sure) assert.ok(seen.has(pid), `process ${pid} could not be read`);
  // The control: what is there is found.
  assert.ok(read(process.pid, 'cmdline')!.includes('exchange.int.test.ts'));
  return { found, searched };
}
