/** What operators do to supervisors: tickets that work once, and a revocation after which nothing of a supervisor counts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { claimWorkloads } from '../../src/executors/placement.ts';
import { issueTicket, revokeSupervisor, withdrawTicket } from '../../src/executors/supervisors.ts';
import { newKey, type Server, startExecutionApi } from './kit.ts';

const issue = (server: Server, roles: ReadonlyArray<'worker' | 'parse'> = ['worker'], ttlSeconds = 600) =>
  issueTicket(server.deps, 'local:tester', { roles, ttlSeconds });
const join = async (server: Server, ticket: string, roles: readonly string[] = ['worker'], key = newKey()) => {
  const json = {
    ticket,
    public_jwk: key.jwk,
    hostname: 'far-away',
    unixname: 'u',
    pid: 1,
    roles,
    sandbox_tier: 'landlock',
    version: '0',
  };
  return (await server.call('POST', '/supervisors', { key, json })).status;
};
const events = async (server: Server, event: string) =>
  server.db.query<{ owner: string; extra: string }>(sql`SELECT owner, extra FROM event_log WHERE event = ${event}`);

test('a ticket of an operator admits one supervisor in its roles, and is recorded without itself', async () => {
  await using server = await startExecutionApi();
  const { ticket, id } = await issue(server, ['worker', 'parse']);
  assert.equal(await join(server, ticket, ['worker', 'trigger']), 403, 'a role that it does not name');
  assert.equal(await join(server, ticket, ['worker', 'parse']), 201, 'the control: the same ticket in its roles');
  for (let again = 0; again < 10; again++) assert.equal(await join(server, ticket), 403, 'used up');
  const [row] = await events(server, 'create_join_ticket');
  assert.equal(row!.owner, 'local:tester');
  assert.equal(JSON.parse(row!.extra).ticket, id);
  assert.ok(!row!.extra.includes(ticket));
});

test('a ticket for bundles admits a Dag processor of these alone; a bundle that is not in use gets none', async () => {
  await using server = await startExecutionApi();
  await server.seedRun();
  const bundles = ['dags-folder'];
  const wanted = { roles: ['parse'], ttlSeconds: 600 } as const;
  for (const name of ['no-such', ''])
    await assert.rejects(issueTicket(server.deps, 'local:tester', { ...wanted, bundles: [name] }), {
      code: 'NOT_FOUND',
    });
  assert.equal((await events(server, 'create_join_ticket')).length, 0);
  const { ticket } = await issueTicket(server.deps, 'local:tester', { ...wanted, bundles });
  assert.equal(await join(server, ticket, ['parse']), 201);
  const told = [...(await events(server, 'create_join_ticket')), ...(await events(server, 'supervisor_registered'))];
  assert.deepEqual(
    told.map(({ extra }) => JSON.parse(extra).bundles),
    [bundles, bundles],
  );
  assert.deepEqual(await server.db.query(sql`SELECT bundles FROM supervisor`), [{ bundles }]);
});

test('where there are teams, a ticket for a Dag processor says which bundles it may parse, or that all', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'True' });
  const issueFor = (roles: ReadonlyArray<'worker' | 'parse'>, bundles?: string[] | null) =>
    issueTicket(server.deps, 'local:tester', { roles, ttlSeconds: 600, bundles });
  for (const roles of [['parse'], ['worker', 'parse']] as const)
    await assert.rejects(issueFor(roles), { code: 'VALIDATION', remedy: /--bundle.*--all-bundles/ });
  await assert.rejects(issueFor(['worker'], ['dags-folder']), { code: 'VALIDATION' }, 'nobody would parse');
  assert.equal((await server.db.query(sql`SELECT FROM join_ticket`)).length, 0);
  await issueFor(['parse'], null);
  await issueFor(['worker']);
  assert.equal((await server.db.query(sql`SELECT FROM join_ticket WHERE bundles IS NULL`)).length, 2);
});

test('64 supervisors with one ticket at once: one is admitted', async () => {
  await using server = await startExecutionApi();
  const { ticket } = await issue(server);
  const statuses = await Promise.all(Array.from({ length: 64 }, () => join(server, ticket)));
  assert.equal(statuses.filter((status) => status === 201).length, 1);
  assert.equal(statuses.filter((status) => status === 403).length, 63);
});

test('a ticket that has expired, or was taken back, admits nobody; one that was not does', async () => {
  await using server = await startExecutionApi();
  const [expires, withdrawn, kept] = [await issue(server, ['worker'], 60), await issue(server), await issue(server)];
  await withdrawTicket(server.deps, 'local:tester', withdrawn.id);
  assert.equal(await join(server, withdrawn.ticket), 403);
  await assert.rejects(withdrawTicket(server.deps, 'local:tester', withdrawn.id), { code: 'NOT_FOUND' });
  assert.equal((await events(server, 'revoke_join_ticket')).length, 1);
  server.advance(61);
  assert.equal(await join(server, expires.ticket), 403);
  assert.equal(await join(server, kept.ticket), 201);
  await assert.rejects(withdrawTicket(server.deps, 'local:tester', kept.id), { code: 'NOT_FOUND' }, 'it was used');
});

test('a revoked supervisor: no token of it counts, what it ran has failed, what it had claimed runs elsewhere', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  const running = await server.startTry({ mapIndex: 0 }, run);
  const other = await server.startTry({}, await server.seedRun());
  const claimed = await server.seedTask(run, { mapIndex: 1 });
  const [workload] = await server.claim(running.worker);
  assert.equal(workload!.ti.id, claimed.id);
  const beat = (worker: typeof running.worker) =>
    server.call('PUT', `/supervisors/${worker.id}/heartbeat`, {
      key: worker.key,
      token: worker.tokens.worker!,
      json: { role: 'worker', holds: [] },
    });
  const heartbeat = (ti: typeof running) =>
    server.call('PUT', `/task-instances/${ti.id}/heartbeat`, {
      key: ti.key,
      token: ti.token,
      json: { hostname: 'worker-1', pid: 4242 },
    });
  const start = () =>
    server.call('PATCH', `/task-instances/${claimed.id}/run`, {
      key: running.key,
      token: workload!.token,
      json: server.runBody(),
    });
  assert.equal((await beat(running.worker)).status, 204);
  assert.equal((await heartbeat(running)).status, 204);

  const { released } = await revokeSupervisor(server.deps, 'local:tester', running.worker.id);
  assert.equal(released, 2);
  assert.equal((await beat(running.worker)).status, 403);
  assert.equal(
    (
      await server.call('POST', '/workloads/claim', {
        key: running.key,
        token: running.worker.tokens.worker!,
        json: { slots: 1, queues: ['*'], wait_seconds: 0 },
      })
    ).status,
    403,
  );
  assert.equal((await heartbeat(running)).status, 409, 'its try has ended');
  assert.equal((await server.call('GET', '/variables/x', { key: running.key, token: running.token })).status, 403);
  assert.ok([403, 409].includes((await start()).status), 'the workload that it had claimed opens nothing');
  assert.equal(await join(server, running.worker.ticket), 403, 'its ticket was used');
  const rows = await server.db.query<{ map_index: number; state: string; supervisor_id: string | null }>(
    sql`SELECT map_index, state, supervisor_id FROM task_instance WHERE dag_run_id = ${run.dagRunId} ORDER BY map_index`,
  );
  assert.deepEqual(
    rows.map((row) => [row.state, row.supervisor_id]),
    [
      ['failed', null],
      ['queued', null],
    ],
  );
  // The control: another supervisor goes on, and takes what was given back.
  assert.equal((await beat(other.worker)).status, 204);
  assert.equal((await heartbeat(other)).status, 204);
  assert.equal((await server.claim(other.worker))[0]!.ti.id, claimed.id);
  const [row] = await events(server, 'revoke_supervisor');
  assert.deepEqual(
    [row!.owner, JSON.parse(row!.extra)],
    ['local:tester', { supervisor: running.worker.id, released: 2 }],
  );
  await assert.rejects(revokeSupervisor(server.deps, 'local:tester', running.worker.id), { code: 'NOT_FOUND' });
});

test('a request for work that was let in before the revocation, and waits, gets nothing of what comes after', async () => {
  await using server = await startExecutionApi({}, { realTime: true });
  const [revoked, other] = [await server.joinWorker(), await server.joinWorker()];
  const run = await server.seedRun();
  // As the handler does it once it has let the supervisor in.
  const waitAs = (worker: typeof revoked) =>
    claimWorkloads(server.deps, {
      supervisorId: worker.id,
      jkt: worker.key.jkt,
      slots: 1,
      queues: null,
      untilMs: server.nowMs() + 2_000,
      signal: new AbortController().signal,
    });
  const waiting = waitAs(revoked);
  await revokeSupervisor(server.deps, 'local:tester', revoked.id);
  const ti = await server.seedTask(run);
  await server.db.query(sql`SELECT pg_notify('airlock', 'queue')`);
  assert.deepEqual(await waiting, []);
  assert.deepEqual(
    (await waitAs(other)).map((each) => each.type === 'ExecuteTask' && each.ti.id),
    [ti.id],
    'the control: another one gets it',
  );
});

test('revocations among claims under way: no ended supervisor holds a try', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  let index = 0;
  let claimedByRevoked = 0;
  for (let round = 0; round < 25; round++) {
    const worker = await server.joinWorker();
    for (let n = 0; n < 4; n++) await server.seedTask(run, { mapIndex: index++ });
    const [claims] = await Promise.all([
      Promise.all([1, 2, 3].map(() => server.claim(worker, 1).catch(() => []))),
      revokeSupervisor(server.deps, 'local:tester', worker.id),
    ]);
    claimedByRevoked += claims.flat().length;
    const held = await server.one<{ n: number }>(
      sql`SELECT count(*)::int AS n FROM task_instance t JOIN supervisor s ON s.id = t.supervisor_id WHERE s.ended_at IS NOT NULL`,
    );
    assert.equal(held.n, 0, `round ${round}`);
  }
  console.log(`25 revocations among 75 claims: ${claimedByRevoked} were claimed first and taken back, 0 held after`);
});
