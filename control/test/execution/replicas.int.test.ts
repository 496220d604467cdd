// Promises L1 to L5 on three API servers that are processes of their own, over one database. Each test prints its figure and
// has a control beside its refusals. A tenth of the trials, whole with `npm run soak`.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { type Replicas, startReplicas } from '../../../tests/kit/replicas.ts';
import { scaled } from '../../../tests/kit/seed.ts';
import { createAccount } from '../../src/api/auth/accounts.ts';
import { releaseTriesOf } from '../../src/runs/index.ts';
import { createTokenMinter, type TokenMinter } from '../../src/tokens/minter.ts';
import { createScene, type Scene, type Try } from './scene.ts';

const END = '2026-07-01T00:00:00Z';
/** The whole trials of `npm run soak` take longer than a test of the part may. */
const LONG = { timeout: 900_000 };
const NEEDS = { needs: { variables: ['v'] } };

let cluster: Replicas;
let scene: Scene;
let minter: TokenMinter;
/** Base address of each replica. */
let bases: readonly string[];
let admin: string;

before(async () => {
  cluster = await startReplicas();
  const { db } = cluster.database;
  bases = cluster.replicas.map((replica) => `${replica.url()}/execution`);
  scene = createScene({ db, base: bases[0]!, nowMs: Date.now });
  minter = createTokenMinter({ socketPath: cluster.tokenSocket, clock: systemClock });
  await createAccount({ db, clock: systemClock }, 'test', { name: 'root', role: 'admin', password: null });
  admin = await minter.mint('user', { sub: 'root', jti: randomBytes(16).toString('hex'), ttlSeconds: 3600 });
});
after(async () => {
  minter?.close();
  await cluster?.[Symbol.asyncDispose]();
});

const show = (text: string) => process.stdout.write(`${text}\n`);
const quantile = (values: readonly number[], q: number) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? 0;

/** As a person, over the REST API of a replica. */
async function asAdmin(base: string, method: string, path: string, body?: unknown): Promise<void> {
  const response = await fetch(base.replace(/execution$/, 'api/v2') + path, {
    method,
    headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.equal(response.status, 200, await response.text());
}

/** What ends a stretch: name → does it through a replica. Each resolves when the answer is there, or the commit done. */
type End = (ti: Try, base: string) => Promise<unknown>;
const reported =
  (json: object): End =>
  async (ti, base) => {
    const answer = await scene.call('PATCH', `/task-instances/${ti.id}/state`, {
      base,
      key: ti.key,
      token: ti.token,
      json: { end_date: END, ...json },
    });
    assert.equal(answer.status, 204, answer.text);
  };
const runOf = (ti: Try) => `/dags/${ti.run.dagId}/dagRuns/${ti.run.runId}`;
const ENDS: Readonly<Record<string, End>> = {
  success: reported({ state: 'success' }),
  failed: reported({ state: 'failed' }),
  skipped: reported({ state: 'skipped' }),
  removed: reported({ state: 'removed' }),
  'up for retry': reported({ state: 'up_for_retry' }),
  'up for reschedule': reported({ state: 'up_for_reschedule', reschedule_date: END }),
  'its process has died': async (ti, base) => {
    const answer = await scene.call('POST', `/workloads/${ti.id}/exit`, {
      base,
      key: ti.key,
      token: ti.worker.tokens.worker!,
      json: {
        workload_jti: ti.workload.airlock!.workload_jti,
        outcome: 'died',
        exit_code: 1,
        signal: null,
        message: '',
      },
    });
    assert.equal(answer.status, 204, answer.text);
  },
  'its supervisor has died': async (ti) => {
    await cluster.database.db.transaction((tx) =>
      releaseTriesOf(tx, { supervisorId: ti.worker.id, nowIso: new Date().toISOString() }),
    );
  },
  'cleared by a person': async (ti, base) => {
    const which = {
      dag_run_id: ti.run.runId,
      task_ids: [ti.taskId],
      dry_run: false,
      only_failed: false,
      only_running: true,
    };
    await asAdmin(base, 'POST', `/dags/${ti.run.dagId}/clearTaskInstances`, which);
  },
  'marked failed by a person': async (ti, base) => {
    const at = `${runOf(ti)}/taskInstances/${ti.taskId}`;
    await asAdmin(base, 'PATCH', at, { new_state: 'failed' });
  },
  'its run marked failed by a person': async (ti, base) => {
    await asAdmin(base, 'PATCH', runOf(ti), { state: 'failed' });
  },
};

test('L1: a token has no power on any replica after the commit that ends its stretch', LONG, async () => {
  const read = (ti: Try, base: string) => scene.call('GET', '/variables/v', { base, key: ti.key, token: ti.token });
  const trials = scaled(100, 10);
  let sameReplica = 0;
  let sent = 0;
  const lags: number[] = [];
  for (const [name, end] of Object.entries(ENDS)) {
    for (let trial = 0; trial < trials; trial++) {
      const ti = await scene.startTry({ ...NEEDS, maxTries: 2 });
      let endedAt = Number.POSITIVE_INFINITY;
      let before = 0;
      let broken = false;
      /** Asks one replica again and again, from before the end until it refuses. @returns latest accepted sending, ms after the end */
      const watch = async (base: string): Promise<number> => {
        let lag = 0;
        for (;;) {
          const at = performance.now();
          if (broken) return lag;
          const answer = await read(ti, base);
          sent++;
          if (answer.status === 403 && at > endedAt) return lag;
          if (answer.status !== 404) continue; // refused while the end is on its way
          if (at > endedAt) lag = Math.max(lag, at - endedAt);
          else before++;
          assert.ok(at < endedAt + 30_000, `${name}: still accepted after 30 s`);
        }
      };
      const watching = Promise.all(bases.map(watch));
      while (before < bases.length) await read(ti, bases[0]!); // the control: it was alive on them
      const through = trial % bases.length;
      await end(ti, bases[through]!).catch(async (error: unknown) => {
        broken = true;
        await watching;
        throw error;
      });
      endedAt = performance.now();
      const found = await watching;
      if (found[through]! > 0) sameReplica++;
      lags.push(...found);
    }
  }
  const p99 = quantile(lags, 0.99);
  show(
    `L1: ${Object.keys(ENDS).length} ends × ${trials} trials, ${sent} requests: ${sameReplica} accepted on the same replica after ` +
      `the answer; on 3 replicas accepted for p99 ${p99.toFixed(1)} ms, at most ${Math.max(...lags).toFixed(1)} ms`,
  );
  assert.equal(sameReplica, 0);
  assert.ok(p99 <= 1000);
  assert.ok(Object.keys(ENDS).length >= 10);
});
