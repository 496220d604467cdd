/**
 * The life of an execution token: live or not, when its renewal is due, what its successor is.
 * A token's text follows from the row alone (jti and issue instant are stored), so a repeat gives the same bytes, not one
 * more token. @see promises L1 to L5
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import type { TokenAlarm } from '@airlock/contract/token-alarms';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { OwnTry } from '@airlock/store/queries/task-instance/heartbeat';
import type { CallerKey, CallerRow } from '@airlock/store/queries/token/caller';
import { endTokenFamily, recordTokenUse, type TokenState } from '@airlock/store/queries/token/use';
import type { TokenMinter } from '../../tokens/minter.ts';
import { nowIso } from '../http/instant.ts';
import type { Answer, Call, ExecutionContext } from './context.ts';

/** How long the predecessor works after the first use of its successor. */
const OVERLAP_MS = 30_000;
/** Use of a predecessor that much later than its end means that somebody else has it. */
export const REUSE_ALARM_MS = 60_000;

export function newJti(): string {
  return randomBytes(16).toString('hex');
}

export function callerKey(call: Call): CallerKey {
  const { claims, kind, subject } = call.identity;
  return { id: subject, jti: claims.jti, nowIso: call.nowIso, triggerer: kind === 'trigger' ? claims.sub : null };
}

type Lifetime = { readonly iat: number; readonly exp: number };

/** Seconds before its end from which on a token is renewed: a fifth of its life, at least 30, at most half of it. */
function renewalWindow({ iat, exp }: Lifetime): number {
  const life = exp - iat;
  return Math.min(Math.max(Math.floor(life / 5), 30), Math.floor(life / 2));
}

/** The token is due for renewal. An expired one never is. @see execution API 2.6 */
export function refreshDue(claims: Lifetime, nowMs: number): boolean {
  const left = claims.exp - nowMs / 1000;
  return left > 0 && left <= renewalWindow(claims);
}

/**
 * Until when the predecessor works after this first use of its successor: for `OVERLAP_MS`, never past its own end. It was
 * due when the successor was made, so it ends at most a window after that; the successor's own renewal is due no sooner,
 * so a try never has three tokens. @see promise L3
 */
export function overlapEnd(claims: Lifetime, nowMs: number): string {
  return nowIso(Math.min(nowMs + OVERLAP_MS, (claims.iat + renewalWindow(claims)) * 1000));
}

/** @returns the name of a successor when this call may renew its token, else null. */
export function wantedSuccessor(call: Call): string | null {
  return call.identity.kind === 'execution' && refreshDue(call.identity.claims, call.nowMs) ? newJti() : null;
}

/**
 * The row of a caller whose token is live.
 * @throws TOKEN_INVALID the try has ended or never was, or this token of it has
 */
export async function requireLive<Row extends CallerRow>(
  context: ExecutionContext,
  call: Call,
  row: Row | null,
): Promise<Row> {
  if (row?.live) return row;
  throw await notLive(context, call, row);
}

/** The refusal of a token that has no power any more; when it is one that a running try has lost, that is written down. */
export async function notLive(context: ExecutionContext, call: Call, row: Reusable | null): Promise<AppError> {
  const audited = row !== null && (await auditReuse(context, call, row));
  return new AppError('TOKEN_INVALID', { public: 'Invalid auth token', internal: { why: 'not live', audited } });
}

type Reusable = Pick<
  OwnTry,
  | 'state'
  | 'execution_jti'
  | 'execution_jti_next'
  | 'execution_jti_prev'
  | 'execution_overlap_until'
  | 'dag_id'
  | 'run_id'
  | 'task_id'
  | 'map_index'
  | 'try_number'
>;

/**
 * Writes down that a running try was addressed by a token which is not one of its own any more: its predecessor after the
 * overlap, one before that, or one of an earlier stretch. Long after the overlap every token of the try dies.
 * @returns whether it was such a token
 */
export async function auditReuse(context: ExecutionContext, call: Call, row: Reusable): Promise<boolean> {
  const { jti, sub } = call.identity.claims;
  // Without any token it has lost them all already, and that was written down.
  if (row.state !== 'running' || row.execution_jti === null) return false;
  if (row.execution_jti === jti || row.execution_jti_next === jti) return false;
  const isPredecessor = row.execution_jti_prev === jti && row.execution_overlap_until !== null;
  const lateMs = isPredecessor ? call.nowMs - Date.parse(row.execution_overlap_until!) : null;
  const ended = lateMs !== null && lateMs > REUSE_ALARM_MS;
  const event: TokenAlarm = ended ? 'token_family_ended' : 'token_reuse_refused';
  await context.db.transaction(async (tx) => {
    if (ended) await endTokenFamily(tx, { id: sub, jti });
    await insertEventLog(tx, {
      nowIso: call.nowIso,
      event,
      owner: 'task',
      dagId: row.dag_id,
      runId: row.run_id,
      taskId: row.task_id,
      mapIndex: row.map_index,
      tryNumber: row.try_number,
      extra: JSON.stringify({ jti, seconds_late: lateMs === null ? null : Math.round(lateMs / 1000) }),
    });
  });
  if (ended)
    context.deps.log.error(
      { taskInstanceId: sub, jti },
      'an old token was used again: the try has lost all its tokens',
    );
  return true;
}

/** Whether the use of this token changes its row: first use, first use of a successor, or a renewal that is due. */
export function useMatters(call: Call, row: CallerRow): boolean {
  const { jti } = call.identity.claims;
  if (row.execution_jti_next === jti) return true;
  return row.execution_jti === jti && (!row.execution_confirmed || refreshDue(call.identity.claims, call.nowMs));
}

/** Records the use of a live token and gives its successor when renewal is due. */
export async function useToken(context: ExecutionContext, call: Call): Promise<string | null> {
  const state = await recordTokenUse(context.db, {
    ...callerKey(call),
    successorJti: wantedSuccessor(call),
    overlapUntilIso: overlapEnd(call.identity.claims, call.nowMs),
  });
  return state && (await mintSuccessor(context, call, state));
}

/** The successor that the row names, for the token that it succeeds, when that token's renewal is due; else null. */
export async function mintSuccessor(context: ExecutionContext, call: Call, state: TokenState): Promise<string | null> {
  const { claims, jkt } = call.identity;
  if (state.execution_jti !== claims.jti || state.execution_jti_next === null || state.execution_next_at === null)
    return null;
  if (!refreshDue(claims, call.nowMs)) return null;
  return await mintExecution(context, {
    sub: claims.sub,
    jti: state.execution_jti_next,
    issuedAt: state.execution_next_at,
    deadlineAt: state.deadline_at,
    jkt,
    laterThan: claims.exp,
  });
}

/**
 * An execution token by what its row says; never past the deadline.
 * @param of.laterThan epoch seconds; null is given when the token would not live longer than that.
 */
export async function mintExecution(
  context: Pick<ExecutionContext, 'executionTtlSeconds'> & { readonly deps: { readonly minter: TokenMinter } },
  of: {
    readonly sub: string;
    readonly jti: string;
    readonly issuedAt: string;
    readonly deadlineAt: string | null;
    readonly jkt: string | null;
    readonly laterThan?: number;
  },
): Promise<string | null> {
  const issuedAtMs = Date.parse(of.issuedAt);
  const iat = Math.floor(issuedAtMs / 1000);
  const untilDeadline = of.deadlineAt === null ? 0 : Math.floor(Date.parse(of.deadlineAt) / 1000) - iat;
  const ttlSeconds = Math.min(context.executionTtlSeconds, untilDeadline);
  if (ttlSeconds < 1 || iat + ttlSeconds <= (of.laterThan ?? 0)) return null;
  return await context.deps.minter.mint('execution', {
    sub: of.sub,
    jti: of.jti,
    ttlSeconds,
    issuedAtMs,
    jkt: of.jkt ?? undefined,
  });
}

/** The answer of a handler whose caller is live: records the first use of its token, and renews it when that is due. */
export async function answerLive(
  context: ExecutionContext,
  call: Call,
  row: CallerRow,
  answer: Omit<Answer, 'refreshed'>,
): Promise<Answer> {
  return { ...answer, refreshed: useMatters(call, row) ? await useToken(context, call) : null };
}
