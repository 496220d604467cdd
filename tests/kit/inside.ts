/** Behind the counter of a running standalone: its database, and a supervisor of the test's own. For what REST does not show. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { socketAddress } from '@airlock/contract/database-address';
import type { ExecuteTaskWorkload, SupervisorRole } from '@airlock/contract/supervisor-api';
import { type Database, openDatabase } from '@airlock/store';
import { addJoinTicket } from '@airlock/store/queries/supervisor/register';
import { createProofKey } from '../../supervisor/src/client/proof-key.ts';
import type { Standalone } from './standalone.ts';

/** As the role that owns the tables, with the password from the data folder: possible only for who may read `keys/`. */
export function databaseOf(airlock: Standalone): Database {
  const url = socketAddress({
    role: 'airlock_owner',
    password: readFileSync(join(airlock.home, 'keys/postgres-airlock_owner'), 'utf8').trim(),
    database: 'airlock',
    socketDir: join(airlock.home, 'run/postgres'),
  });
  return openDatabase({ url, maxConnections: 2, applicationName: 'test-inside', onError: () => undefined });
}

export type TestSupervisor = {
  readonly id: string;
  /** Renewed by `stayAlive`. */
  readonly tokens: Partial<Record<SupervisorRole, string>>;
  /**
   * Tells the server each 5 s that it and these tries are alive, since it would be given up for dead otherwise, and takes over
   * renewed tokens. @returns a function that ends it
   */
  readonly stayAlive: (tries: ReadonlyMap<string, { token: string }>) => () => Promise<void>;
  /** Headers of a request with this token, and with a fresh proof by our key. */
  readonly headers: (method: string, path: string, token: string) => Record<string, string>;
  /** Takes one workload of a queue that nobody else serves. Waits for it. */
  readonly claim: (queue: string) => Promise<ExecuteTaskWorkload>;
};

/**
 * Joins as our own supervisors do, with a ticket that is put into the database by hand. The other supervisor should not serve
 * the queues that are claimed here: `AIRLOCK__WORKERS__QUEUES`.
 */
export async function joinAsSupervisor(airlock: Standalone, db: Database): Promise<TestSupervisor> {
  const roles: SupervisorRole[] = ['worker', 'parse', 'trigger'];
  const ticket = randomBytes(32).toString('base64url');
  await addJoinTicket(db, { text: ticket, roles, expiresAtIso: new Date(Date.now() + 60_000).toISOString() });
  const key = createProofKey();
  const base = `${airlock.url}/execution`;
  const proof = (method: string, path: string, token?: string) =>
    key.proof(method, base + path.split('?', 1)[0], Date.now(), token);
  const joined = await fetch(`${base}/supervisors`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', dpop: proof('POST', '/supervisors') },
    body: JSON.stringify({
      ticket,
      public_jwk: key.publicJwk,
      hostname: hostname(),
      unixname: 'test',
      pid: process.pid,
      roles,
      sandbox_tier: 'none',
      version: 'test',
    }),
  });
  if (joined.status !== 201) throw new Error(`joining: ${joined.status} ${await joined.text()}`);
  const { supervisor_id: id, tokens } = (await joined.json()) as {
    supervisor_id: string;
    tokens: Partial<Record<SupervisorRole, string>>;
  };
  const headers = (method: string, path: string, token: string) => ({
    authorization: `DPoP ${token}`,
    dpop: proof(method, path, token),
  });
  const put = async (path: string, token: string, body: unknown) => {
    const response = await fetch(base + path, {
      method: 'PUT',
      headers: { ...headers('PUT', path, token), 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    await response.arrayBuffer();
    return response.headers.get('refreshed-api-token') ?? token;
  };
  const beat = async (tries: ReadonlyMap<string, { token: string }>) => {
    for (const role of roles) {
      const holds = role === 'worker' ? [...tries.keys()] : [];
      tokens[role] = await put(`/supervisors/${id}/heartbeat`, tokens[role]!, { role, holds });
    }
    for (const [tryId, holder] of tries) {
      const body = { hostname: hostname(), pid: process.pid };
      holder.token = await put(`/task-instances/${tryId}/heartbeat`, holder.token, body);
    }
  };
  return {
    id,
    tokens,
    stayAlive(tries) {
      let under: Promise<void> = Promise.resolve();
      const timer = setInterval(() => {
        under = under.then(() => beat(tries)).catch(() => undefined); // silence shows in the test itself
      }, 5000);
      return async () => {
        clearInterval(timer);
        await under;
      };
    },
    headers,
    async claim(queue) {
      for (let round = 0; round < 6; round++) {
        const response = await fetch(`${base}/workloads/claim`, {
          method: 'POST',
          headers: { ...headers('POST', '/workloads/claim', tokens.worker!), 'content-type': 'application/json' },
          body: JSON.stringify({ slots: 1, queues: [queue], wait_seconds: 10 }),
        });
        const text = await response.text();
        if (response.status !== 200) throw new Error(`claiming: ${response.status} ${text}`);
        const [workload] = (JSON.parse(text) as { workloads: ExecuteTaskWorkload[] }).workloads;
        if (workload) return workload;
      }
      throw new Error(`no workload came in queue ${queue}`);
    },
  };
}
