/** How our own supervisors join, say that they live, take work and report the end of processes. */
import { randomUUID } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import { isUuid } from '@airlock/contract/ids';
import {
  claimRequest,
  type ExitReport,
  exitReport,
  registerRequest,
  type SupervisorRole,
  supervisorHeartbeat,
} from '@airlock/contract/supervisor-api';
import { heartbeatSupervisorJobs } from '@airlock/store/queries/job/supervisor-heartbeat';
import {
  findSupervisor,
  registerSupervisor,
  type SupervisorRow,
  touchSupervisor,
} from '@airlock/store/queries/supervisor/register';
import { lockHeldTry } from '@airlock/store/queries/task-instance/held';
import type { ProvenKey } from '@airlock/token-verify';
import type { FastifyRequest } from 'fastify';
import { claimWorkloads } from '../../../executors/placement.ts';
import { endRestart, failTry, reapMissingTries } from '../../../runs/index.ts';
import { nowIso } from '../../http/instant.ts';
import { check, parseBody, validationError } from '../../http/validation.ts';
import type { Answer, Call, ExecutionContext, Handler } from '../context.ts';
import { newJti, refreshDue } from '../token-life.ts';

/** Lifetime of the tokens of supervisors, seconds; renewed on each accepted call of their last fifth. */
const SUPERVISOR_TTL_SECONDS = 300;
/** How long the same key may repeat a registration whose answer was lost. */
const REPEATABLE_MS = 60_000;

/** What a role is among the jobs that health shows; workers are no jobs. */
const JOB_OF_ROLE = { worker: null, parse: 'DagProcessorJob', trigger: 'TriggererJob' } as const;

async function tellJobs(
  context: ExecutionContext,
  supervisorId: string,
  roles: readonly SupervisorRole[],
  now: string,
) {
  const jobTypes = roles.flatMap((role) => JOB_OF_ROLE[role] ?? []);
  if (jobTypes.length > 0) await heartbeatSupervisorJobs(context.db, { jobTypes, supervisorId, nowIso: now });
}

/** POST /supervisors: no token yet, so the key in the body must be the one that made the proof. */
export async function register(context: ExecutionContext, request: FastifyRequest, key: ProvenKey): Promise<Answer> {
  const body = check(registerRequest, request.body, ['body']);
  const refused = new AppError('TOKEN_INVALID', { public: 'Invalid auth token', internal: { why: 'join ticket' } });
  if (body.public_jwk.x !== key.jwk.x) throw refused;
  const nowMs = context.deps.clock.nowMs();
  const roles = [...new Set(body.roles)];
  const id = await registerSupervisor(
    context.db,
    {
      id: randomUUID(),
      jkt: key.jkt,
      publicJwkJson: JSON.stringify(key.jwk),
      hostname: body.hostname,
      unixname: body.unixname,
      pid: body.pid,
      roles,
      sandboxTier: body.sandbox_tier,
      version: body.version,
    },
    { ticket: body.ticket, nowIso: nowIso(nowMs), repeatableSinceIso: nowIso(nowMs - REPEATABLE_MS) },
  );
  if (id === null) throw refused;
  await tellJobs(context, id, roles, nowIso(nowMs));
  const tokens: Record<string, string> = {};
  for (const role of roles) {
    tokens[role] = await context.deps.minter.mint(role, {
      sub: id,
      jti: newJti(),
      ttlSeconds: SUPERVISOR_TTL_SECONDS,
      jkt: key.jkt,
    });
  }
  return { status: 201, body: { supervisor_id: id, tokens } };
}

/** The registered supervisor behind a token: not ended, with this key and this role. @throws TOKEN_INVALID */
async function requireRegistered(context: ExecutionContext, call: Call, touch = false): Promise<SupervisorRow> {
  const { kind, claims, jkt } = call.identity;
  const row = touch
    ? await touchSupervisor(context.db, { id: claims.sub, nowIso: call.nowIso })
    : await findSupervisor(context.db, claims.sub);
  if (row && row.jkt === jkt && row.roles.includes(kind)) return row;
  throw new AppError('TOKEN_INVALID', { public: 'Invalid auth token', internal: { why: 'no such supervisor' } });
}

async function renewed(context: ExecutionContext, call: Call): Promise<string | null> {
  const { kind, claims, jkt } = call.identity;
  if (jkt === null || !refreshDue(claims, call.nowMs)) return null;
  const ttlSeconds = SUPERVISOR_TTL_SECONDS;
  return await context.deps.minter.mint(kind, { sub: claims.sub, jti: newJti(), ttlSeconds, jkt });
}

/** Wraps a handler for a registered supervisor, whose token is renewed when the handler has accepted. */
export function forSupervisor(
  handle: (context: ExecutionContext, call: Call, supervisor: SupervisorRow) => Promise<Omit<Answer, 'refreshed'>>,
  touch = false,
): Handler {
  return async (context, call) => {
    const supervisor = await requireRegistered(context, call, touch);
    const answer = await handle(context, call, supervisor);
    return { ...answer, refreshed: await renewed(context, call) };
  };
}

export const heartbeat = forSupervisor(async (context, call, supervisor) => {
  const { role, also, holds } = parseBody(supervisorHeartbeat, call.request);
  const foreign = role === call.identity.kind ? also.find((other) => !supervisor.roles.includes(other)) : role;
  if (foreign !== undefined) {
    throw new AppError('TOKEN_SCOPE', {
      public: `Token type '${call.identity.kind}' not allowed for the role ${foreign}`,
    });
  }
  // What a supervisor holds only its worker may say, whichever roles speak along.
  if (role === 'worker')
    await reapMissingTries(context.db, { supervisorId: supervisor.id, holds, nowIso: call.nowIso });
  await tellJobs(context, supervisor.id, [...new Set([role, ...also])], call.nowIso);
  return { status: 204 };
}, true);

export const claim = forSupervisor(async (context, call) => {
  const body = parseBody(claimRequest, call.request);
  const queues = body.queues.includes('*') ? null : body.queues;
  await context.servedQueues.note(call.identity.claims.sub, queues);
  const gone = new AbortController();
  const onClose = () => gone.abort();
  call.request.raw.socket.once('close', onClose);
  try {
    const workloads = await claimWorkloads(context.deps, {
      supervisorId: call.identity.claims.sub,
      jkt: call.identity.jkt!,
      slots: body.slots,
      queues,
      untilMs: call.nowMs + body.wait_seconds * 1000,
      signal: AbortSignal.any([gone.signal, context.closing]),
    });
    return { status: 200, body: { workloads } };
  } finally {
    call.request.raw.socket.off('close', onClose);
  }
});

/** A process that ended without an accepted report: its try has failed, and says how. */
export const exit = forSupervisor(async (context, call) => {
  const report = parseBody(exitReport, call.request);
  const id = parseTryId(call.params.task_instance_id);
  const supervisorId = call.identity.claims.sub;
  await context.db.transaction(async (tx) => {
    const held = await lockHeldTry(tx, { id, supervisorId, workloadJti: report.workload_jti });
    if (!held) {
      // Ended, requeued or cleared meanwhile. A cleared try waits for exactly this word; anything else stays as it is.
      await endRestart(tx, { oldTryId: id, supervisorId, nowIso: call.nowIso });
      return;
    }
    if (report.outcome === 'reported') return;
    await failTry(tx, {
      id: held.id,
      reason: exitReason(report),
      nowIso: call.nowIso,
      from: [held.state],
      maxRetryDelaySeconds: context.deps.config.core.max_task_retry_delay,
    });
  });
  return { status: 204 };
});

function parseTryId(text: string | undefined): string {
  if (text !== undefined && isUuid(text)) return text;
  throw validationError([
    {
      type: 'uuid_parsing',
      loc: ['path', 'task_instance_id'],
      msg: 'Input should be a valid UUID',
      input: text ?? null,
      ctx: { error: 'not a lower-case UUID' },
    },
  ]);
}

function exitReason({ exit_code: code, signal, message }: ExitReport): string {
  const how = signal !== null ? `was ended by ${signal}` : code !== null ? `exited with code ${code}` : 'ended';
  // A supervisor that stopped it says why; only a process that went by itself is told about.
  if (signal === null && code === null && message !== '') return message;
  return `The process of the task ${how} without reporting a result.${message ? ` ${message}` : ''}`;
}
