/** What tests do with an Execution API whose address and database they have: call it, sow runs, join workers, start tries. */
import { randomBytes, randomUUID } from 'node:crypto';
import { encodeNeeds, type Needs, NO_NEEDS } from '@airlock/contract/dag/needs';
import type { SupervisorRole } from '@airlock/contract/supervisor-api';
import { type Database, sql } from '@airlock/store';
import { refreshActiveAssets } from '@airlock/store/queries/asset/ingest';
import { buildDagModel } from '../../src/domain/dag-model.ts';
import { admitTicket } from '../../src/executors/join-ticket.ts';
import { storeAssetReferences } from '../../src/runs/asset-references.ts';
import { type DagOver, documentOf } from './documents.ts';
import { type Key, makeProof, newKey } from './proofs.ts';

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

export function createScene(options: {
  readonly db: Database;
  /** Of the server that is asked when a call names no other. */
  readonly base: string;
  readonly nowMs: () => number;
}) {
  const { db, base, nowMs } = options;
  const nowSeconds = () => Math.floor(nowMs() / 1000);

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
  const seedRun = async (
    dagId = `dag_${randomBytes(3).toString('hex')}`,
    team: string | null = null,
    dag: DagOver = {},
  ) => {
    const nowIso = new Date(nowMs()).toISOString();
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
        VALUES (${versionId}, ${dagId}, 1, 'dags-folder', 'x', ${JSON.stringify(documentOf(dagId, dag))}::json, 'src', ${'ab'.repeat(32)}, ${nowIso})`);
      await db.query(sql`UPDATE dag SET current_version_id = ${versionId} WHERE dag_id = ${dagId}`);
      if (dag.tasks || dag.timetable) {
        await db.transaction(async (tx) => {
          await storeAssetReferences(tx, buildDagModel(documentOf(dagId, dag)), nowIso);
          await refreshActiveAssets(tx, nowIso);
        });
      }
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
    const nowIso = new Date(nowMs()).toISOString();
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

  const joinWorker = async (roles: SupervisorRole[] = ['worker'], over: { readonly bundles?: string[] } = {}) => {
    const key = newKey();
    const ticket = randomBytes(32).toString('base64url');
    await admitTicket(db, { ticket, roles, ...over }, nowMs());
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
    if (answer.status !== 200) throw new Error(`claim: ${answer.status} ${answer.text}`);
    return answer.json<{
      workloads: Array<{ token: string; ti: { id: string }; airlock?: { workload_jti: string } }>;
    }>().workloads;
  };

  const runBody = (over: object = {}) => ({
    state: 'running',
    hostname: 'worker-1',
    unixname: 'airflow',
    pid: 4242,
    start_date: new Date(nowMs()).toISOString(),
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

  /** Many running tries of one run and one worker, as map indexes of one task. */
  const startMany = async (count: number, task: SeedTask = {}) => {
    const run = await seedRun();
    const worker = await joinWorker();
    const seeded = [];
    for (let i = 0; i < count; i++) seeded.push(await seedTask(run, { mapIndex: i, maxTries: 2, ...task }));
    const byId = new Map<string, Awaited<ReturnType<typeof claim>>[number]>();
    while (byId.size < count) {
      const more = await claim(worker, Math.min(count - byId.size, 100));
      if (more.length === 0) throw new Error(`only ${byId.size} of ${count} were claimed`);
      for (const workload of more) byId.set(workload.ti.id, workload);
    }
    return await Promise.all(
      seeded.map(async (ti) => {
        const workload = byId.get(ti.id)!;
        const send = { key: worker.key, token: workload.token, json: runBody() };
        const context = await call('PATCH', `/task-instances/${ti.id}/run`, send);
        const token = context.headers.get('refreshed-api-token');
        if (token === null) throw new Error(`run: ${context.status} ${context.text}`);
        return { ...ti, worker, workload, key: worker.key, token, context };
      }),
    );
  };

  return { call, claim, joinWorker, nowSeconds, one, runBody, seedRun, seedTask, startMany, startTry };
}
export type Scene = ReturnType<typeof createScene>;
export type Try = Awaited<ReturnType<Scene['startTry']>>;
