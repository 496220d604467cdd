/** A supervisor process: joins the server, and hosts user code in the roles that it was given. Holds no key and no database. */
import { hostname, userInfo } from 'node:os';
import { join as pathJoin } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@airlock/contract/clock';
import { adoptConfig, type SupervisorValues } from '@airlock/contract/config/handed';
import type { SupervisorRole } from '@airlock/contract/supervisor-api';
import { clearWorkDirs, requireTier, trackChildren } from '@airlock/proc/sandbox/index';
import { becomeSubreaper } from '@airlock/proc/strays';
import { type Logger, pino } from 'pino';
import { childEntries } from './child-entries.ts';
import { createExecutionClient } from './client/index.ts';
import { join } from './join.ts';
import { startParseRole } from './parse/index.ts';
import type { Role, RoleContext } from './role-context.ts';
import { startTaskRole, type TaskRole } from './task/index.ts';
import { startTriggerRole } from './trigger/index.ts';

const VERSION = '0.1.0';
const SECOND_MS = 1000;
/** Code that children import; shown to them read-only. */
const CHILD_PACKAGES = ['../../sdk', '../../contract'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)).replace(/\/$/, ''),
);

export type Supervisor = {
  /** For the `ready` message. */
  readonly info: Readonly<Record<string, unknown>>;
  stop(): Promise<void>;
};

export type SupervisorEvents = {
  /** The server no longer accepts us; only a new process with a new ticket helps. */
  readonly dismissed: (status: number) => void;
};

function unixname(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown'); // a user id without an account, as in containers
  }
}

export function supervisorLog(level: string): Logger {
  const name = level.toLowerCase();
  return pino({ name: 'supervisor', level: name === 'warning' ? 'warn' : name === 'critical' ? 'fatal' : name });
}

/**
 * @throws AppError SANDBOX_TIER below the required tier · INVALID_CREDENTIALS · API_UNREACHABLE · CONFIG_INVALID
 */
export async function startSupervisor(
  values: SupervisorValues,
  log: Logger,
  environment: RoleContext['environment'],
  events: SupervisorEvents,
): Promise<Supervisor> {
  const config = adoptConfig(values.config);
  const { sandbox, workers } = config;
  becomeSubreaper();
  const left = trackChildren(pathJoin(values.work_dir, 'children'));
  clearWorkDirs(values.work_dir);
  if (left > 0) log.warn({ left }, 'killed what an earlier supervisor had left behind');
  const uids = { first: sandbox.uid_range_start, size: sandbox.uid_range_size };
  const entries = await childEntries(log);
  const tier = requireTier(sandbox.minimum_tier, { uids, enterScript: entries.enterScript });
  const client = createExecutionClient({
    baseUrl: values.execution_url,
    trust: values.server_trust,
    insecurePlainHttp: config.api.insecure_plain_http,
    log,
    timeoutMs: workers.execution_api_timeout * SECOND_MS,
    retry: {
      attempts: workers.execution_api_retries,
      waitMinMs: workers.execution_api_retry_wait_min * SECOND_MS,
      waitMaxMs: workers.execution_api_retry_wait_max * SECOND_MS,
    },
  });
  const host = { hostname: hostname(), unixname: unixname() };
  const membership = await join(
    client,
    {
      ticket: values.join_ticket,
      ...host,
      pid: process.pid,
      roles: [...values.roles],
      sandbox_tier: tier,
      version: VERSION,
    },
    log,
  );
  const contextFor = (role: SupervisorRole): RoleContext | null => {
    const token = membership.tokens[role];
    if (token === undefined) return null;
    return {
      client,
      supervisorId: membership.supervisorId,
      token,
      config,
      clock: systemClock,
      log: log.child({ role }),
      tier,
      ...host,
      packages: CHILD_PACKAGES,
      workBase: values.work_dir,
      hidden: [],
      executionUrl: values.execution_url,
      environment,
      entries,
    };
  };
  const workerContext = contextFor('worker');
  const parseContext = contextFor('parse');
  const worker: TaskRole | null = workerContext && startTaskRole(workerContext);
  const triggerContext = contextFor('trigger');
  const roles: Role[] = [
    ...(worker ? [worker] : []),
    ...(parseContext ? [startParseRole(parseContext)] : []),
    ...(triggerContext ? [startTriggerRole(triggerContext)] : []),
  ];
  const endKeepAlive = membership.keepAlive(() => worker?.holds() ?? [], events.dismissed);
  log.info({ tier, supervisor: membership.supervisorId, roles: values.roles }, 'supervisor joined');
  return {
    info: { supervisor_id: membership.supervisorId, sandbox_tier: tier, roles: values.roles },
    async stop() {
      await Promise.all(roles.map((role) => role.stop()));
      endKeepAlive();
      await client.close();
    },
  };
}
