// Promises L1 to L4 on three API servers that are processes of their own, over one database. Each test prints its figure and
// has a control beside its refusals. A tenth of the trials, whole with `npm run soak`.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '@airlock/contract/clock';
import { TOKEN_ALARMS_HEADER } from '@airlock/contract/token-alarms';
import { openDatabase, sql } from '@airlock/store';
import { type Replicas, startReplicas } from '../../../tests/kit/replicas.ts';
import { scaled } from '../../../tests/kit/seed.ts';
import { repositoryRoot } from '../../../tests/kit/standalone.ts';
import { createAccount } from '../../src/api/auth/accounts.ts';
import { releaseTriesOf } from '../../src/runs/index.ts';
import { createTokenMinter, type TokenMinter } from '../../src/tokens/minter.ts';
import { type Answer, createScene, type Scene, type Try } from './scene.ts';

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

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const refreshed = (answer: Answer) => answer.headers.get('refreshed-api-token');
const beatBody = { hostname: 'worker-1', pid: 4242 };
const beat = (ti: Try, token: string, base: string) =>
  scene.call('PUT', `/task-instances/${ti.id}/heartbeat`, { base, key: ti.key, token, json: beatBody });

/** The same token as if it had been issued so long ago: same name, same key, signed by the same service. */
function aged(ti: Try, token: string, seconds: number): Promise<string> {
  const { jti, iat, exp } = claimsOf(token);
  const issuedAtMs = Date.now() - seconds * 1000;
  return minter.mint('execution', { sub: ti.id, jti, ttlSeconds: exp - iat, jkt: ti.key.jkt, issuedAtMs });
}
/** Renewal is due from second 240 on. */
const DUE_SECONDS = 250;

test(
  'L2: no refusal, failure, health answer or unknown route renews a token that is due, on any replica',
  LONG,
  async () => {
    const tries = await scene.startMany(20, NEEDS);
    const requests: Record<string, (ti: Try) => [string, string, unknown?]> = {
      health: () => ['GET', '/health'],
      ping: () => ['GET', '/health/ping'],
      unknown: () => ['GET', '/no-such-route'],
      'other method': () => ['POST', '/health'],
      absent: () => ['GET', '/variables/v'],
      undeclared: () => ['GET', '/variables/undeclared'],
      'undeclared connection': () => ['GET', '/connections/undeclared'],
      'of another kind': () => ['POST', '/workloads/claim', {}],
      'of another try': () => ['PATCH', `/task-instances/${randomUUID()}/state`, {}],
      elsewhere: (ti) => ['PUT', `/task-instances/${ti.id}/heartbeat`, { hostname: 'other', pid: 1 }],
      'bad body': (ti) => ['PUT', `/task-instances/${ti.id}/heartbeat`, {}],
      'other process': (ti) => ['PATCH', `/task-instances/${ti.id}/run`, scene.runBody({ pid: 1 })],
      'undeclared XCom': (ti) => ['GET', `/xcoms/${ti.run.dagId}/${ti.run.runId}/other/k`],
      'failure of the server': (ti) => ['GET', `/task-reschedules/${ti.id}/start_date`],
    };
    const statuses = new Map<number, number>();
    let renewed = 0;
    let sent = 0;
    const owner = openDatabase({
      url: cluster.database.ownerUrl,
      maxConnections: 1,
      applicationName: 'test',
      onError() {},
    });
    try {
      // What a failure of the server looks like: a table that it needs is gone.
      await owner.query(sql`ALTER TABLE task_reschedule RENAME TO task_reschedule_gone`);
      const total = scaled(10_000, 1_000);
      for (let round = 0; sent < total; round++) {
        const i = round % tries.length;
        const token = await aged(tries[i]!, tries[i]!.token, DUE_SECONDS);
        const answers = await Promise.all(
          Object.values(requests).map((make, n) => {
            const [method, path, json] = make(tries[i]!);
            const base = bases[(round + n) % bases.length]!;
            return scene.call(method, path, { base, key: tries[i]!.key, token, json });
          }),
        );
        for (const answer of answers) {
          sent++;
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
          if (refreshed(answer) !== null) renewed++;
        }
      }
    } finally {
      await owner.query(sql`ALTER TABLE task_reschedule_gone RENAME TO task_reschedule`);
      await owner.close();
    }
    const counted = [...statuses].sort().map(([status, n]) => `${n} × ${status}`);
    show(`L2: ${sent} requests (${counted.join(', ')}): ${renewed} renewals`);
    assert.equal(renewed, 0);
    for (const status of [200, 403, 404, 405, 409, 422, 500])
      assert.ok(statuses.has(status), `no ${status} among them`);
    // The controls: the same tokens are renewed by what is authorised, and not when they are young.
    for (const base of bases) {
      const [first, second] = tries as [Try, Try];
      assert.notEqual(refreshed(await beat(first, await aged(first, first.token, DUE_SECONDS), base)), null);
      assert.equal(refreshed(await beat(second, await aged(second, second.token, 0), base)), null);
    }
  },
);

test(
  'L3: renewals on several replicas at once make one successor; what it supersedes is refused everywhere and alarms',
  LONG,
  async () => {
    const tries = await scene.startMany(scaled(1_000, 100), NEEDS);
    const { db } = cluster.database;
    const ids = tries.map((ti) => ti.id);
    /** The overlap of a try's predecessor ends so many seconds from now. */
    const endOverlap = (ti: Try, seconds: number) =>
      db.query(
        sql`UPDATE task_instance SET execution_overlap_until = ${new Date(Date.now() + seconds * 1000).toISOString()}::timestamptz
          WHERE id = ${ti.id}`,
      );
    /**
     * Every try on every replica, all replicas at once, with tokens of this age; nothing depends on how long it takes.
     * @param overlap where the overlap of the predecessor ends, seconds from each use
     * @returns by try, by replica
     */
    const everywhere = (tokens: readonly string[], age: number, overlap?: number) =>
      inTurns(tries, async (ti, i) => {
        const token = await aged(ti, tokens[i]!, age);
        if (overlap !== undefined) await endOverlap(ti, overlap);
        return await Promise.all(bases.map((base) => beat(ti, token, base)));
      });
    const old = tries.map((ti) => ti.token);
    const statuses = (answers: Answer[][]) => [...new Set(answers.flat().map((answer) => answer.status))];
    const events = async (event: string) =>
      (
        await db.query<{ n: number }>(
          sql`SELECT count(DISTINCT (run_id, map_index))::integer AS n FROM event_log
          WHERE event = ${event} AND run_id = ${tries[0]!.run.runId}`,
        )
      )[0]!.n;

    const renewals = await everywhere(old, DUE_SECONDS);
    const successors = renewals.map((answers) => {
      const names = new Set(answers.map(refreshed));
      assert.equal(names.size, 1, 'three replicas gave several successors');
      return refreshed(answers[0]!)!;
    });
    assert.deepEqual(statuses(await everywhere(successors, 0)), [204]);
    const youngest = await everywhere(old, DUE_SECONDS, 10);
    assert.deepEqual([statuses(youngest), youngest.flat().filter(refreshed).length], [[204], 0], 'no third token');
    const confirmed = await db.query<{ n: number }>(
      sql`SELECT count(*)::integer AS n FROM task_instance WHERE id = ANY(${ids}::uuid[]) AND execution_confirmed
      AND execution_jti_next IS NULL AND execution_jti_prev IS NOT NULL`,
    );

    assert.deepEqual(statuses(await everywhere(old, DUE_SECONDS, -1)), [403]);
    const refused = await events('token_reuse_refused');
    assert.deepEqual(statuses(await everywhere(successors, 0)), [204], 'the control: the successor works');
    assert.deepEqual(statuses(await everywhere(old, DUE_SECONDS, -61)), [403]);
    const ended = await events('token_family_ended');
    assert.deepEqual(statuses(await everywhere(successors, 0)), [403], 'after the alarm none is left');
    show(
      `L3: ${tries.length} tries renewed on 3 replicas at once: ${new Set(successors).size} successors, ${confirmed[0]!.n} confirmed, ` +
        `at most 2 accepted; ${refused} reuses found, ${ended} alarms`,
    );
    assert.deepEqual([confirmed[0]!.n, refused, ended], [tries.length, tries.length, tries.length]);
  },
);

test('L3, L5: misused tokens are shown: in the event log, in the health answer and by the command line', async () => {
  const shownBy = async (base: string) => {
    const response = await fetch(base.replace(/execution$/, 'api/v2/monitor/health'));
    await response.arrayBuffer();
    return Number(response.headers.get(TOKEN_ALARMS_HEADER));
  };
  const before = await Promise.all(bases.map(shownBy));
  const ti = await scene.startTry(NEEDS);
  const again = { key: ti.key, token: ti.workload.token, json: scene.runBody() };
  assert.equal((await beat(ti, ti.token, bases[0]!)).status, 204);
  assert.deepEqual(await Promise.all(bases.map(shownBy)), before, 'the control: honest use is no alarm');
  assert.equal((await scene.call('PATCH', `/task-instances/${ti.id}/run`, again)).status, 409);
  assert.deepEqual(
    await Promise.all(bases.map(shownBy)),
    before.map((n) => n + 1),
  );

  const airlock = async (...args: string[]) => {
    const url = bases[1]!.replace('/execution', '');
    const command = [join(repositoryRoot, 'cli/bin/airlock'), '--url', url, ...args];
    const env = { ...process.env, AIRLOCK_TOKEN: admin };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, command, { env }).catch((error) => error);
    return `${stdout}${stderr}`;
  };
  const [newest] = JSON.parse(await airlock('tokens', 'alarms', '--limit', '1', '--json'));
  const { event, dag_id, run_id, task_id, try_number } = newest;
  assert.deepEqual(
    { event, dag_id, run_id, task_id, try_number },
    { event: 'run_refused', dag_id: ti.run.dagId, run_id: ti.run.runId, task_id: ti.taskId, try_number: 1 },
  );
  assert.match(
    await airlock('tokens', 'alarms'),
    new RegExp(`${ti.run.runId} +extract +1 +the start of a try was refused`),
  );
  assert.match(await airlock('health'), /misused tokens were refused in the last 24 hours: airlock tokens alarms/);
});

test('L4: an execution token lives 300 s, and no longer than its try may', async () => {
  const lifetimes: number[] = [];
  // One after the other: a worker claims whatever is queued.
  for (const task of [{}, { executionTimeoutSeconds: 60 }]) {
    const { exp, iat } = claimsOf((await scene.startTry({ ...NEEDS, ...task })).token);
    lifetimes.push(exp - iat);
  }
  show(`L4: ${lifetimes[0]} s; ${lifetimes[1]} s for a time limit of 60 s`);
  assert.deepEqual(lifetimes, [300, 180]);
});

/** Some at a time, in order. */
async function inTurns<T, R>(items: readonly T[], work: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < items.length; i += 25) {
    results.push(...(await Promise.all(items.slice(i, i + 25).map((item, n) => work(item, i + n)))));
  }
  return results;
}
