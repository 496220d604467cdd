/**
 * Hostile bodies on every route of both APIs. The routes come from the policy tables, which the server checks against its
 * handlers at boot: a new route is covered by being there.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type { ExecuteTaskWorkload } from '@airlock/contract/supervisor-api';
import type { Database } from '@airlock/store';
import { EXECUTION_POLICY, type ExecutionPolicyRow } from '../../control/src/api/execution/policy.ts';
import { REST_POLICY } from '../../control/src/api/rest/policy.ts';
import { ask, trigger } from '../kit/api.ts';
import { databaseOf, joinAsSupervisor, type TestSupervisor } from '../kit/inside.ts';
import { partsBelow } from '../kit/processes.ts';
import { type RawAnswer, type RawRequest, rawRequest } from '../kit/raw-request.ts';
import { scaled } from '../kit/seed.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';

const MIB = 1024 * 1024;
const DEEP = 10_000;
/** A log-in is short: a longer body is refused for its length, before its depth. */
const LOGIN_BODY_BYTES = 16 * 1024;

const dagText = `import { dag } from '@airlock/sdk';
export default dag('held', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', { queue: 'nobody', run: async () => 1 })();
});
`;

type Route = {
  readonly name: string;
  readonly method: string;
  /** With its parameters filled in, below the server's root. */
  readonly path: string;
  /** Headers of somebody who may call it. */
  readonly allowed: () => Record<string, string>;
  /** What its body is: JSON, bytes, or something that nobody reads. */
  readonly body: 'json' | 'bytes' | 'none';
};

/** Bodies that must be refused by everybody who reads JSON, with the status and the code of the answer. */
const HOSTILE: readonly { name: string; body: string; status: number; code: string }[] = [
  { name: 'malformed JSON', body: '{"state": ', status: 422, code: 'VALIDATION' },
  { name: 'a __proto__ key', body: '{"__proto__": {"admin": true}}', status: 422, code: 'VALIDATION' },
  { name: 'an inner __proto__ key', body: '{"conf": [{"__proto__": null}]}', status: 422, code: 'VALIDATION' },
  { name: 'an escaped __proto__ key', body: '{"\\u005f_proto__": {}}', status: 422, code: 'VALIDATION' },
  { name: 'constructor.prototype', body: '{"constructor": {"prototype": {}}}', status: 422, code: 'VALIDATION' },
  { name: 'lists 10,000 deep', body: '['.repeat(DEEP) + ']'.repeat(DEEP), status: 422, code: 'TOO_DEEP' },
  { name: 'objects 10,000 deep', body: `${'{"a":'.repeat(DEEP)}1${'}'.repeat(DEEP)}`, status: 422, code: 'TOO_DEEP' },
];

describe('hostile requests', () => {
  let airlock: Standalone;
  let db: Database;
  let supervisor: TestSupervisor;
  let workload: ExecuteTaskWorkload;
  const held = { token: '' };
  let stopBeating: (() => Promise<void>) | undefined;
  let userToken: string;
  let routes: Route[];

  before(async () => {
    airlock = await startStandalone({
      dags: { 'held.ts': dagText },
      env: { AIRLOCK__WORKERS__QUEUES: 'typescript' },
    });
    db = databaseOf(airlock);
    userToken = await airlock.token();
    supervisor = await joinAsSupervisor(airlock, db);
    const runId = await trigger(airlock, 'held');
    workload = await supervisor.claim('nobody');
    const path = `/task-instances/${workload.ti.id}/run`;
    const started = await rawRequest({
      url: `${airlock.url}/execution${path}`,
      method: 'PATCH',
      headers: supervisor.headers('PATCH', path, workload.token),
      body: JSON.stringify({
        state: 'running',
        hostname: hostname(),
        unixname: 'test',
        pid: process.pid,
        start_date: new Date().toISOString(),
      }),
    });
    assert.equal(started.status, 200, started.text);
    held.token = String(started.headers['refreshed-api-token']);
    stopBeating = supervisor.stayAlive(new Map([[workload.ti.id, held]]));
    const values: Record<string, string> = {
      dag_id: 'held',
      dag_run_id: runId,
      run_id: runId,
      task_id: 't',
      map_index: '-1',
      try_number: '1',
      task_try_number: '1',
      version_number: '1',
      task_instance_id: workload.ti.id,
      supervisor_id: supervisor.id,
      bundle_name: 'dags-folder',
      connection_id: 'c',
      conn_id: 'c',
      import_error_id: '1',
      event_log_id: '1',
      group_id: 'g',
      backfill_id: '1',
      asset_id: '1',
      asset_alias_id: '1',
      file_token: 'f',
      section: 'core',
      option: 'parallelism',
      connection_test_id: workload.ti.id,
      callback_id: workload.ti.id,
      trigger_id: '1',
      question_id: workload.ti.id,
    };
    routes = [...restRoutes(values), ...executionRoutes(values)];
  });
  after(async () => {
    await stopBeating?.();
    await db?.close();
    await airlock?.stop();
  });

  function fill(pattern: string, values: Readonly<Record<string, string>>): string {
    return pattern
      .replace(/:(\w+)/g, (_, name: string) => {
        const value = values[name];
        assert.ok(value !== undefined, `this test knows no value for :${name} of ${pattern}; add one`);
        return encodeURIComponent(value);
      })
      .replace('*', 'key');
  }

  function restRoutes(values: Readonly<Record<string, string>>): Route[] {
    const auth = ['POST /auth/token', 'POST /auth/token/cli', 'GET /auth/token', 'GET /auth/token/login'];
    const names = [...Object.keys(REST_POLICY).map((name) => name.replace(' ', ' /api/v2')), ...auth];
    return names.map((name) => {
      const [method, pattern] = name.split(' ') as [string, string];
      return {
        name,
        method,
        // Should it delete in spite of a bad body, it deletes nothing that the other routes need.
        path: fill(pattern, method === 'DELETE' ? { ...values, dag_run_id: 'gone' } : values),
        // Logging out works whatever the body says: it must not be our own token that ends.
        allowed: () => ({ authorization: `Bearer ${name.endsWith('/logout') ? 'nobody' : userToken}` }),
        body: method === 'GET' || method === 'DELETE' ? 'none' : 'json',
      };
    });
  }

  function executionRoutes(values: Readonly<Record<string, string>>): Route[] {
    return Object.entries(EXECUTION_POLICY).map(([name, row]) => {
      const [method, pattern] = name.split(' ') as [string, string];
      const path = fill(pattern, values);
      return {
        name: name.replace(' ', ' /execution'),
        method,
        path: `/execution${path}`,
        allowed: () => supervisor.headers(method, path, tokenFor(row)),
        body: row.body?.type === 'bytes' ? 'bytes' : ['POST', 'PUT', 'PATCH'].includes(method) ? 'json' : 'none',
      };
    });
  }
  function tokenFor(row: ExecutionPolicyRow): string {
    if (typeof row.tokens === 'string' || row.tokens.includes('execution')) return held.token;
    const kind = (['worker', 'parse', 'trigger'] as const).find((each) => row.tokens.includes(each));
    return kind === undefined ? held.token : supervisor.tokens[kind]!;
  }

  const control = () => partsBelow(airlock.pid, 'control')[0]!.pid;
  const resident = (pid: number, line: 'VmRSS' | 'VmHWM') =>
    Number(new RegExp(`^${line}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  /** Sends one request, and gives its answer; whatever it is, it is no fault of the server. */
  async function send(route: Route, more: Partial<RawRequest>, what: string): Promise<RawAnswer> {
    const answer = await rawRequest({ url: airlock.url + route.path, method: route.method, ...more });
    assert.ok(answer.status < 500, `${route.name}, ${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
    return answer;
  }
  /** Keeps going over all routes, so that one run names every route that is wrong. */
  async function onEvery(check: (route: Route) => Promise<void>): Promise<void> {
    const problems: string[] = [];
    for (const route of routes) {
      await check(route).catch((error: unknown) => problems.push((error as Error).message));
    }
    assert.deepEqual(problems, []);
  }

  test('the tables name routes of both APIs, and with what the test knows somebody may call each', async () => {
    assert.ok(routes.length > 60, `${routes.length} routes`);
    const path = `/task-instances/${workload.ti.id}/heartbeat`;
    const alive = await rawRequest({
      url: `${airlock.url}/execution${path}`,
      method: 'PUT',
      headers: supervisor.headers('PUT', path, held.token),
      body: JSON.stringify({ hostname: hostname(), pid: process.pid }),
    });
    assert.equal(alive.status, 204, alive.text);
    assert.equal((await ask(airlock, 'GET', '/api/v2/dags/held')).status, 200);
  });

  for (const { name, body, status, code } of HOSTILE) {
    test(`${name} is refused with ${status} ${code} on every route that reads JSON, and breaks none`, async () => {
      await onEvery(async (route) => {
        const answer = await send(route, { headers: route.allowed(), body }, name);
        if (route.body !== 'json') return;
        if (Buffer.byteLength(body) > LOGIN_BODY_BYTES && route.name.startsWith('POST /auth/')) {
          assert.equal(answer.status, 413, route.name);
          return;
        }
        assert.equal(answer.status, status, `${route.name}, ${name}: ${answer.status} ${answer.text.slice(0, 300)}`);
        assert.equal(answer.headers['airlock-error'], code, route.name);
        assert.ok('detail' in (JSON.parse(answer.text) as object), `${route.name}: ${answer.text.slice(0, 300)}`);
      });
      assert.equal(({} as Record<string, unknown>).admin, undefined);
    });

    test(`${name} from a stranger breaks no route either`, async () => {
      await onEvery(async (route) => {
        const answer = await send(route, { body }, name);
        assert.ok(answer.status >= 400 || route.body === 'none', `${route.name}: ${answer.status}`);
      });
    });
  }

  test('a body of 100 MB that is announced is refused at once, and unread', async () => {
    await onEvery(async (route) => {
      const beganMs = performance.now();
      const answer = await send(route, { headers: route.allowed(), announceBytes: 100 * MIB }, '100 MB announced');
      assert.equal(answer.status, 413, `${route.name}: ${answer.status} ${answer.text.slice(0, 200)}`);
      assert.equal(answer.headers['airlock-error'], 'BODY_TOO_LARGE', route.name);
      const tookMs = performance.now() - beganMs;
      assert.ok(tookMs < 10_000, `${route.name}: ${Math.round(tookMs)} ms, though nothing had to be waited for`);
    });
  });

  test('a body of 100 MB that is not announced is cut off at the limit, and costs no memory', async () => {
    const pid = control();
    const before = resident(pid, 'VmRSS');
    await onEvery(async (route) => {
      const answer = await send(route, { headers: route.allowed(), streamBytes: 100 * MIB }, '100 MB streamed');
      if (route.body === 'none' && answer.status !== 413) return;
      assert.equal(answer.status, 413, `${route.name}: ${answer.status} ${answer.text.slice(0, 200)}`);
      // The largest limit is 32 MiB, and what lies in the kernel's buffers was sent too.
      assert.ok(answer.sent < 64 * MIB, `${route.name}: ${answer.sent} bytes were taken`);
    });
    assert.equal(control(), pid, 'control was not restarted');
    const grown = resident(pid, 'VmRSS') - before;
    // One body of the largest route is 32 MiB, and garbage of one before it may still lie about.
    assert.ok(grown < 160, `control has grown by ${grown.toFixed(0)} MB`);
  });

  test(`a stranger's 100 MB cost control no more than 32 MB, ${scaled(100, 10)} times`, async () => {
    const pid = control();
    const route = routes.find((one) => one.name === 'POST /api/v2/variables')!;
    const pour = async () => {
      for (let i = 0; i < scaled(100, 10); i++) {
        assert.ok([401, 413].includes((await send(route, { announceBytes: 100 * MIB }, 'announced')).status));
        assert.ok([401, 413].includes((await send(route, { streamBytes: 100 * MIB }, 'streamed')).status));
      }
    };
    // What is kept of a body is kept in every round; what the heap takes once, before it is collected, is not.
    const grown: number[] = [];
    for (let round = 0; round < 5; round++) {
      const before = resident(pid, 'VmRSS');
      await pour();
      grown.push(resident(pid, 'VmRSS') - before);
    }
    assert.ok(Math.min(...grown) <= 32, `control has grown by ${grown.map((mib) => mib.toFixed(0)).join(', ')} MB`);
    console.log(`rounds of strangers' bodies: ${grown.map((mib) => mib.toFixed(0)).join(', ')} MB`);
  });

  test('after all that the try still lives, and the server still works', async () => {
    const { state } = await airlock.api<{ state: string }>(
      'GET',
      `/api/v2/dags/held/dagRuns/${encodeURIComponent(workload.ti.run_id)}/taskInstances/t`,
    );
    assert.equal(state, 'running');
    await airlock.api('POST', '/api/v2/variables', { key: 'still', value: 'here' });
    assert.equal((await airlock.api<{ value: string }>('GET', '/api/v2/variables/still')).value, 'here');
    assert.ok(!airlock.output().includes('is started again'), 'nothing died');
  });
});
