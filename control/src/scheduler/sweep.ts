/** Liveness: tries that nobody works on any more are taken back or ended. @see scheduling semantics 8 */
import type { Db } from '@airlock/store';
import { type SweptCallback, sweepCallbacks } from '@airlock/store/queries/callback/sweep';
import { failLateConnectionTests } from '@airlock/store/queries/connection-test/queue';
import {
  endRestarts,
  findDeadTries,
  returnStuckTries,
  type Suspect,
  takeBackClaims,
} from '@airlock/store/queries/schedule/sweep';
import { logTries } from '@airlock/store/queries/task-instance/end-try';
import { sweepQuestions } from '@airlock/store/queries/timetable/ask';
import { instantIso, instantIsoOrNull } from '../domain/instants.ts';
import { type FailOptions, failTry } from '../runs/fail-try.ts';
import {
  CALLBACK_WAIT_MS,
  CLAIM_TIMEOUT_MS,
  DEADLINE_GRACE_MS,
  MAX_QUEUE_RETURNS,
  QUESTION_KEPT_MS,
  RESTART_GRACE_MS,
} from './bounds.ts';

export type SweepOptions = {
  readonly nowMs: number;
  /** Since when this process and the database have been there: silence before that proves nothing about others. */
  readonly availableSinceMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly supervisorTimeoutMs: number;
  readonly maxRetryDelaySeconds: number;
};

export type SweepResult = {
  readonly claimsTakenBack: readonly Suspect[];
  readonly returned: readonly Suspect[];
  readonly failed: ReadonlyArray<{ readonly id: string; readonly reason: string }>;
  readonly endedCallbacks: readonly SweptCallback[];
};

const REASONS = {
  heartbeat: 'No heartbeat arrived within the time-out.',
  supervisor: 'The host that ran this try has ended or fallen silent.',
  deadline: 'The try ran beyond its deadline.',
} as const;

/** One transaction; safe to repeat at any time. Sends the events of what it changed. */
export async function sweepTries(tx: Db, options: SweepOptions): Promise<SweepResult> {
  const { nowMs, availableSinceMs } = options;
  const nowIso = instantIso(nowMs);
  // Heartbeats could not arrive while there was no server to take them.
  const judged = (timeoutMs: number): number | null =>
    nowMs - availableSinceMs < timeoutMs ? null : nowMs - timeoutMs;
  const seenBeforeIso = instantIsoOrNull(judged(options.supervisorTimeoutMs));
  const claims = await takeBackClaims(tx, {
    claimedBeforeIso: instantIso(nowMs - CLAIM_TIMEOUT_MS),
    seenBeforeIso,
    nowIso,
  });
  const { returned, exhausted } = await returnStuckTries(tx, {
    queuedBeforeIso: instantIso(nowMs - options.queueTimeoutMs),
    maxReturns: MAX_QUEUE_RETURNS,
    nowIso,
  });
  await endRestarts(tx, { sinceIso: instantIso(nowMs - RESTART_GRACE_MS), nowIso });
  const dead = await findDeadTries(tx, {
    heartbeatBeforeIso: instantIso(judged(options.heartbeatTimeoutMs) ?? 0),
    seenBeforeIso,
    deadlineBeforeIso: instantIso(nowMs - DEADLINE_GRACE_MS),
  });
  await logTries(
    tx,
    [
      ...claims.map((ti) => ({
        ...ti,
        event: 'claim taken back',
        reason: 'The worker did not start the try in time.',
      })),
      ...returned.map((ti) => ({
        ...ti,
        event: 'stuck in queue',
        reason: 'No worker took the try in time; it queues again.',
      })),
    ],
    nowIso,
  );
  await failLateConnectionTests(tx, nowIso);
  await sweepQuestions(tx, instantIso(nowMs - QUESTION_KEPT_MS));
  const failed: { id: string; reason: string }[] = [];
  const { maxRetryDelaySeconds } = options;
  const fail = async (id: string, reason: string, which: Pick<FailOptions, 'from' | 'stretch'>) => {
    const done = await failTry(tx, { id, reason, nowIso, maxRetryDelaySeconds, ...which });
    if (done) failed.push({ id, reason });
  };
  for (const { id } of exhausted) await fail(id, 'No worker took the try, again and again.', { from: ['queued'] });
  for (const { id, why, workload_jti: stretch } of dead) await fail(id, REASONS[why], { from: ['running'], stretch });
  const endedCallbacks = await sweepCallbacks(tx, {
    claimedBeforeIso: instantIso(nowMs - CLAIM_TIMEOUT_MS),
    seenBeforeIso,
    deadlineBeforeIso: nowIso,
    createdBeforeIso: instantIso(nowMs - CALLBACK_WAIT_MS),
    nowIso,
  });
  return { claimsTakenBack: claims, returned, failed, endedCallbacks };
}
