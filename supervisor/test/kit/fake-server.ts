/**
 * A small Execution API for tests of the worker: real HTTP, real proofs checked with jose, state in memory. It knows only
 * what a worker calls, answers as the wire documents say, and can be told to fail.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallbackOrder, CallbackReport } from '@airlock/contract/callbacks';
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose';

export type FakeTry = {
  readonly id: string;
  readonly taskId: string;
  readonly module: string;
  readonly timeoutSeconds?: number;
  readonly connections?: readonly string[];
  readonly variables?: readonly string[];
  readonly shouldRetry?: boolean;
  /** A workload for another language. */
  readonly foreign?: boolean;
};

export type Call = {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly status: number;
  readonly atMs: number;
};

/** A callback that the server has started; what is not given is that of a Dag whose run has failed. */
export type FakeCallback = {
  readonly id: string;
  readonly module: string;
  readonly timeoutSeconds?: number;
  /** Of a Python Dag: the folder of its bundle; then there is no module. */
  readonly bundlePath?: string;
  /** Instead of the folder: a repository, and the commit that the run is pinned to. */
  readonly git?: { readonly repo_url: string; readonly subdir: string | null; readonly version: string };
  /** The file there. Default `d.py`. */
  readonly file?: string;
  readonly order?: Partial<Omit<CallbackOrder, 'module' | 'timeout_seconds'>>;
};

const orderOf = ({ order }: FakeCallback) => ({
  kind: 'dag',
  event: 'failure',
  reason: 'task_failure',
  dag_run: {
    dag_id: 'd',
    run_id: RUN_ID,
    logical_date: null,
    data_interval_start: null,
    data_interval_end: null,
    run_after: '2026-01-01T00:00:00Z',
    run_type: 'manual',
    state: 'failed',
    conf: {},
  },
  ti: null,
  target: null,
  ...order,
});

type Row = FakeTry & { state: string; pid: number | null; log: string; claimed: boolean; heartbeats: number };

export type FakeServer = {
  readonly url: string;
  readonly calls: readonly Call[];
  readonly connections: Map<string, Record<string, unknown>>;
  readonly variables: Map<string, string>;
  /** What tasks have left, by path; callbacks read it below a path of their own. */
  readonly xcoms: Map<string, unknown>;
  /** Answer for requests whose `METHOD path` matches, instead of the real one; null = go on. Sending nothing = a number 0. */
  intercept: ((method: string, path: string) => number | null) | null;
  add(task: FakeTry): void;
  addCallback(callback: FakeCallback): void;
  /** What workers have said of callbacks, by id. */
  readonly callbackReports: ReadonlyMap<string, CallbackReport>;
  row(id: string): Row;
  logLines(id: string): ReadonlyArray<{ event: string; level: string; logger: string; [key: string]: unknown }>;
  /** Resolves when the try's state is final. */
  finished(id: string, timeoutMs?: number): Promise<string>;
  close(): Promise<void>;
};

const RUN_ID = 'manual__2026-01-01T00:00:00+00:00';
export const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A token as this server gives it: bound to a key, as the claims say, and named so that a leak is found by its text. */
export function tokenOf(name: string): string {
  return `${name}.${Buffer.from('{"cnf":{"jkt":"fake"}}').toString('base64url')}.signature`;
}

export async function startFakeServer(): Promise<FakeServer> {
  const rows = new Map<string, Row>();
  const callbacks = new Map<string, FakeCallback & { claimed: boolean }>();
  const callbackReports = new Map<string, CallbackReport>();
  const calls: Call[] = [];
  const seenProofs = new Set<string>();
  const connections = new Map<string, Record<string, unknown>>();
  const variables = new Map<string, string>();
  const xcoms = new Map<string, unknown>();
  const waiters: Array<() => void> = [];
  const wake = () => {
    for (const waiter of waiters.splice(0)) waiter();
  };

  /** Checks a proof as RFC 9449 4.3 says; throws otherwise. */
  const checkProof = async (request: IncomingMessage, origin: string) => {
    const proof = String(request.headers.dpop);
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: ['EdDSA'],
    });
    const path = (request.url ?? '').split('?')[0];
    if (payload.htm !== request.method || payload.htu !== origin + path) throw new Error('proof of another request');
    if (seenProofs.has(String(payload.jti))) throw new Error('proof used twice');
    seenProofs.add(String(payload.jti));
    const token = request.headers.authorization?.replace(/^DPoP /, '');
    if (token !== undefined && payload.ath !== createHash('sha256').update(token).digest('base64url')) {
      throw new Error('proof of another token');
    }
    return { token, thumbprint: await calculateJwkThumbprint(protectedHeader.jwk!) };
  };

  const workloadFor = (row: Row) => ({
    type: 'ExecuteTask',
    token: tokenOf(`workload-${row.id}`),
    ti: {
      id: row.id,
      task_id: row.taskId,
      dag_id: 'd',
      run_id: RUN_ID,
      try_number: 1,
      dag_version_id: '0190f5e3-0000-7000-8000-000000000001',
      map_index: -1,
      hostname: null,
      context_carrier: null,
      queue: 'typescript',
      pool_slots: 1,
      priority_weight: 1,
    },
    dag_rel_path: 'd.ts',
    bundle_info: { name: 'dags-folder', version: null },
    log_path: 'x.log',
    sentry_integration: '',
    ...(row.foreign
      ? {}
      : {
          airlock: {
            runtime: 'typescript',
            module_hash: sha256(row.module),
            execution_timeout: row.timeoutSeconds ?? null,
            needs: {
              connections: row.connections ?? [],
              variables: row.variables ?? [],
              xcoms: [],
              assets: [],
              dags: [],
            },
            workload_jti: '0'.repeat(32),
          },
        }),
  });

  const callbackWorkload = ({ id, bundlePath, git, file = 'd.py' }: FakeCallback) => ({
    type: 'ExecuteCallback',
    token: tokenOf(`workload-${id}`),
    dag_rel_path: bundlePath === undefined ? 'd.ts' : file,
    bundle_info: { name: 'dags-folder', version: git?.version ?? null },
    log_path: 'x',
    callback: { id, fetch_method: 'dag_attribute', data: { path: 'on_failure_callback', kwargs: {} } },
    airlock:
      bundlePath === undefined
        ? { runtime: 'typescript', bundle_path: null }
        : {
            runtime: 'python',
            bundle_path: bundlePath,
            ...(git && { git: { repo_url: git.repo_url, subdir: git.subdir } }),
          },
  });

  type Reply = { status: number; json?: unknown; text?: string; headers?: Record<string, string> };
  const claim = async (slots: number): Promise<Reply> => {
    for (let waited = 0; waited < 1; waited++) {
      const calls = [...callbacks.values()].filter((one) => !one.claimed);
      for (const one of calls) one.claimed = true;
      if (calls.length > 0) return { status: 200, json: { workloads: calls.map(callbackWorkload) } };
      const free = [...rows.values()].filter((row) => !row.claimed).slice(0, slots);
      if (free.length > 0) {
        for (const row of free) row.claimed = true;
        return { status: 200, json: { workloads: free.map(workloadFor) } };
      }
      await Promise.race([
        new Promise<void>((resolve) => waiters.push(resolve)),
        delay(1000, undefined, { ref: false }),
      ]);
      waited -= [...rows.values(), ...callbacks.values()].some((row) => !row.claimed) ? 1 : 0;
    }
    return { status: 200, json: { workloads: [] } };
  };

  const onTry = (
    row: Row,
    action: string,
    method: string,
    body: Buffer,
    token: string | undefined,
    query: URLSearchParams,
  ): Reply => {
    if (action === 'run') {
      if (token !== tokenOf(`workload-${row.id}`)) return { status: 403 };
      row.state = 'running';
      row.pid = (JSON.parse(body.toString()) as { pid: number }).pid;
      return {
        status: 200,
        headers: { 'refreshed-api-token': tokenOf(`execution-${row.id}`) },
        json: {
          dag_run: {
            dag_id: 'd',
            run_id: RUN_ID,
            logical_date: null,
            data_interval_start: null,
            data_interval_end: null,
            run_after: '2026-01-01T00:00:00Z',
            run_type: 'manual',
            conf: {},
          },
          task_reschedule_count: 0,
          max_tries: 0,
          should_retry: row.shouldRetry ?? false,
          xcom_keys_to_clear: [],
        },
      };
    }
    if (token !== tokenOf(`execution-${row.id}`)) return { status: 403, json: { detail: 'Invalid auth token' } };
    if (action === 'state') {
      if (row.state !== 'running') return { status: 409 };
      row.state = (JSON.parse(body.toString()) as { state: string }).state;
      return { status: 204 };
    }
    if (action === 'heartbeat') {
      row.heartbeats++;
      return row.state === 'running' ? { status: 204 } : { status: 409, json: { detail: { reason: 'not_running' } } };
    }
    if (action === 'logs') {
      const size = Buffer.byteLength(row.log);
      const offset = Number(query.get('offset'));
      if (offset > size) return { status: 409, json: { size } };
      row.log += body.subarray(size - offset).toString();
      return { status: 200, json: { size: Buffer.byteLength(row.log) } };
    }
    return action === 'rtif' && method === 'PUT' ? { status: 201, json: {} } : { status: 404 };
  };

  /** One value, or with `/slice` the list of them, by the path at which it was sown. */
  const onXCom = (path: string): Reply => {
    if (!path.startsWith(`/xcoms/d/${RUN_ID}/`))
      return { status: 403, json: { detail: { reason: 'access_denied', message: path } } };
    const slice = path.endsWith('/slice');
    const value = xcoms.get(path.replace(/\/slice$/, ''));
    if (value !== undefined) return { status: 200, json: slice ? [value].flat() : { key: 'return_value', value } };
    return slice
      ? { status: 200, json: [] }
      : { status: 404, json: { detail: { reason: 'not_found', message: path } } };
  };

  const onCallback = (id: string, action: string, body: Buffer, token: string | undefined): Reply => {
    const one = callbacks.get(id);
    if (one === undefined) return { status: 404 };
    if (action === 'run') {
      if (token !== tokenOf(`workload-${id}`)) return { status: 403 };
      const module = one.bundlePath === undefined ? { hash: sha256(one.module), code: one.module } : null;
      const json = { timeout_seconds: one.timeoutSeconds ?? 60, ...orderOf(one), module };
      return { status: 200, headers: { 'refreshed-api-token': tokenOf(`execution-${id}`) }, json };
    }
    if (token !== tokenOf(`execution-${id}`)) return { status: 403, json: { detail: 'Invalid auth token' } };
    if (action === 'state') {
      callbackReports.set(id, JSON.parse(body.toString()) as CallbackReport);
      return { status: 204 };
    }
    if (action.startsWith('xcoms/')) return onXCom(`/${decodeURIComponent(action)}`);
    const [kind, name] = action.split('/', 2) as [string, string];
    const value = kind === 'connections' ? connections.get(name) : variables.get(name);
    if (value === undefined) return { status: 403, json: { detail: { reason: 'access_denied', message: name } } };
    return { status: 200, json: kind === 'connections' ? value : { key: name, value } };
  };

  const answer = async (method: string, url: URL, body: Buffer, token: string | undefined): Promise<Reply> => {
    const path = url.pathname;
    if (path === '/supervisors') {
      return {
        status: 201,
        json: { supervisor_id: '11111111-1111-4111-8111-111111111111', tokens: { worker: tokenOf('worker-token') } },
      };
    }
    if (path === '/workloads/claim') {
      return token === tokenOf('worker-token')
        ? claim((JSON.parse(body.toString()) as { slots: number }).slots)
        : { status: 403 };
    }
    if (path.startsWith('/supervisors/')) return { status: 204 };
    const ofExit = /^\/workloads\/([^/]+)\/exit$/.exec(path);
    if (ofExit !== null) {
      const row = rows.get(ofExit[1]!);
      if (row?.state === 'running') row.state = row.shouldRetry ? 'up_for_retry' : 'failed';
      return { status: 204 };
    }
    const ofCallback = /^\/callbacks\/([^/]+)\/(.+)$/.exec(path);
    if (ofCallback !== null) return onCallback(ofCallback[1]!, ofCallback[2]!, body, token);
    const ofTry = /^\/task-instances\/([^/]+)\/(.+)$/.exec(path);
    if (ofTry !== null) {
      const row = rows.get(ofTry[1]!);
      return row === undefined ? { status: 404 } : onTry(row, ofTry[2]!, method, body, token, url.searchParams);
    }
    const ofModule = /^\/dag-modules\/(.+)$/.exec(path);
    if (ofModule !== null) return { status: 200, text: rows.get(ofModule[1]!)!.module };
    const named = /^\/(connections|variables)\/(.+)$/.exec(path);
    if (named !== null) {
      const key = decodeURIComponent(named[2]!);
      const value = named[1] === 'connections' ? connections.get(key) : variables.get(key);
      if (value === undefined)
        return { status: 404, json: { detail: { reason: 'not_found', message: `${key} not found` } } };
      return { status: 200, json: named[1] === 'connections' ? value : { key, value } };
    }
    if (path.startsWith('/xcoms/') && method === 'POST') {
      xcoms.set(path, JSON.parse(body.toString()));
      return { status: 201, json: {} };
    }
    return { status: 404, json: { detail: 'Not Found' } };
  };

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    void (async () => {
      const body = await bodyOf(request);
      const url = new URL(request.url ?? '/', origin);
      const method = request.method ?? '';
      const forced = fake.intercept?.(method, url.pathname) ?? null;
      if (forced === 0) return void request.socket.destroy();
      let reply: Reply;
      if (forced !== null) reply = { status: forced, json: { detail: 'forced' } };
      else {
        try {
          const { token } = await checkProof(request, origin);
          reply = await answer(method, url, body, token);
        } catch (error) {
          reply = { status: 401, json: { detail: String(error) } };
        }
      }
      calls.push({ method, path: url.pathname, body: body.toString(), status: reply.status, atMs: performance.now() });
      const text = reply.text ?? (reply.json === undefined ? '' : JSON.stringify(reply.json));
      response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
      response.end(text);
      wake2();
    })();
  });
  const stateWaiters: Array<() => void> = [];
  const wake2 = () => {
    for (const waiter of stateWaiters.splice(0)) waiter();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const fake: FakeServer = {
    url: origin,
    calls,
    connections,
    variables,
    xcoms,
    intercept: null,
    addCallback(callback) {
      callbacks.set(callback.id, { ...callback, claimed: false });
      wake();
    },
    callbackReports,
    add(task) {
      rows.set(task.id, { ...task, state: 'queued', pid: null, log: '', claimed: false, heartbeats: 0 });
      wake();
    },
    row: (id) => rows.get(id)!,
    logLines: (id) =>
      rows
        .get(id)!
        .log.split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
    async finished(id, timeoutMs = 90_000) {
      const until = performance.now() + timeoutMs;
      while (['queued', 'running'].includes(rows.get(id)!.state)) {
        if (performance.now() > until)
          throw new Error(`try ${id} is still ${rows.get(id)!.state}; log: ${rows.get(id)!.log}`);
        await Promise.race([new Promise<void>((resolve) => stateWaiters.push(resolve)), delay(50)]);
      }
      return rows.get(id)!.state;
    },
    close: async () => {
      wake();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}
