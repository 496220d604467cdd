// The figures of promises L7 and L16. Those of L1 to L5 are in replicas.int.test.ts and exchange.int.test.ts, that of L6 in
// ../route-matrix.int.test.ts.
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Db, type Sql, sql } from '@airlock/store';
import { readForCaller } from '@airlock/store/queries/task-instance/reads';
import { readConnectionsFor, readVariablesFor } from '@airlock/store/queries/token/named';
import { mayReadXCom } from '@airlock/store/queries/token/rights';
import { xcomValue } from '@airlock/store/queries/xcom/read';
import { scaled } from '../../../tests/kit/seed.ts';
import { type Answer, startExecutionApi } from './kit.ts';

const END = '2026-07-01T00:00:00Z';
const beatBody = { hostname: 'worker-1', pid: 4242 };
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());

/** The plan of the statement that `work` runs, with what was really executed. */
async function planOf(db: Db, work: (db: Db) => Promise<unknown>): Promise<string> {
  let plan = '';
  await work({
    query: async <Row>(statement: Sql) => {
      const rows = await db.query<Record<string, string>>(
        sql`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ${statement}`,
      );
      plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      return [] as Row[];
    },
  });
  return plan;
}

test('L7: the look-up of what is not declared is never executed, and that of what is declared is', async () => {
  await using server = await startExecutionApi();
  await server.db.query(sql`INSERT INTO variable (key, val) VALUES ('canary', 'x'), ('v', 'x')`);
  const ti = await server.startTry({ needs: { variables: ['v'], connections: ['c'], xcoms: ['load'] } });
  const key = { id: ti.id, jti: claimsOf(ti.token).jti, nowIso: new Date(server.nowMs()).toISOString() };
  const context = { mode: 'auto', multiTeam: false } as const;
  const place = (taskId: string) => ({ dagId: ti.run.dagId, runId: ti.run.runId, taskId, mapIndex: -1, key: 'k' });
  const readXCom = (db: Db, of: ReturnType<typeof place>) =>
    readForCaller(db, key, { ...xcomValue(of), allowed: mayReadXCom(context, of) });
  for (const [table, allowed, denied] of [
    [
      'variable',
      (db: Db) => readVariablesFor(db, [{ ...key, name: 'v' }], key.nowIso, context),
      (db: Db) => readVariablesFor(db, [{ ...key, name: 'canary' }], key.nowIso, context),
    ],
    [
      'connection',
      (db: Db) => readConnectionsFor(db, [{ ...key, name: 'c' }], key.nowIso, context),
      (db: Db) => readConnectionsFor(db, [{ ...key, name: 'canary' }], key.nowIso, context),
    ],
    ['xcom', (db: Db) => readXCom(db, place('load')), (db: Db) => readXCom(db, place('side'))],
  ] as const) {
    const executed = async (work: (db: Db) => Promise<unknown>) => {
      const scans = (await planOf(server.db, work))
        .split('\n')
        .filter((line) => new RegExp(`(Scan|on) .*\\b${table}\\b`).test(line));
      assert.ok(scans.length > 0, `a scan of ${table} in the plan`);
      return scans.filter((line) => !line.includes('never executed')).length > 0;
    };
    assert.deepEqual([await executed(allowed), await executed(denied)], [true, false], table);
  }
});

test('L7: how long a refusal takes does not tell whether the thing exists', async () => {
  // Real time, so that the budget for refusals fills again.
  await using server = await startExecutionApi({}, { realTime: true });
  await server.db.query(sql`INSERT INTO variable (key, val) VALUES ('canary-1', 'x')`);
  const ti = await server.startTry({ needs: {} });
  const timed = async (name: string) => {
    const before = performance.now();
    assert.equal((await server.call('GET', `/variables/${name}`, { key: ti.key, token: ti.token })).status, 403);
    return performance.now() - before;
  };
  for (let i = 0; i < 50; i++) await timed('canary-1');
  const round = async (): Promise<number> => {
    const [there, absent]: [number[], number[]] = [[], []];
    for (let i = 0; i < scaled(1_000, 200); i++) {
      // The order alternates, so that neither is always the one that follows a pause.
      for (const list of i % 2 ? [there, absent] : [absent, there])
        list.push(await timed(list === there ? 'canary-1' : 'canary-2'));
    }
    return mannWhitney(there, absent);
  };
  // By chance alone one round in a hundred is below 0.01; three in a row are one in a million.
  const found: number[] = [];
  for (let i = 0; i < 3; i++) {
    found.push(await round());
    if (found.at(-1)! > 0.01) return;
  }
  assert.fail(`p = ${found.join(', ')}`);
});

/** Two-sided p of the rank-sum test, by the normal approximation. @see Mann and Whitney 1947 */
function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((value) => ({ value, first: true })), ...b.map((value) => ({ value, first: false }))].sort(
    (x, y) => x.value - y.value,
  );
  const ranks = all.reduce((sum, { first }, i) => sum + (first ? i + 1 : 0), 0);
  const u = ranks - (a.length * (a.length + 1)) / 2;
  const sigma = Math.sqrt((a.length * b.length * (a.length + b.length + 1)) / 12);
  const z = Math.abs(u - (a.length * b.length) / 2) / sigma;
  // Complementary error function, Abramowitz and Stegun 7.1.26.
  const t = 1 / (1 + (0.3275911 * z) / Math.SQRT2);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return poly * Math.exp((-z * z) / 2);
}

test('L16: a caller that spends its budget gets 429 with Retry-After; its heartbeat and its report are never refused for it', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry({ needs: {} });
  const send = { key: ti.key, token: ti.token };
  let limited: Answer | undefined;
  for (let i = 0; i < 60 && !limited; i++) {
    const batch = await Promise.all(
      Array.from({ length: 25 }, () =>
        server.call('POST', `/xcoms/${ti.run.dagId}/${ti.run.runId}/other/k`, { ...send, json: 1 }),
      ),
    );
    limited = batch.find((answer) => answer.status === 429);
  }
  assert.ok(limited);
  assert.match(limited.headers.get('retry-after')!, /^[1-9]\d*$/);
  assert.equal(limited.headers.get('airlock-error'), 'RATE_LIMITED');
  const other = await server.startTry({ needs: { variables: ['v'] } });
  assert.equal(
    (await server.call('GET', '/variables/v', { key: other.key, token: other.token })).status,
    404,
    'another try is not touched',
  );
  assert.equal(
    (await server.call('PUT', `/task-instances/${ti.id}/heartbeat`, { ...send, json: beatBody })).status,
    204,
  );
  assert.equal(
    (
      await server.call('PATCH', `/task-instances/${ti.id}/state`, {
        ...send,
        json: { state: 'success', end_date: END },
      })
    ).status,
    204,
  );
});
