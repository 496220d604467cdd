/** From how a task's process ended to what is reported. Pure, and masked: an error likes to name what it was called with. */
import type { TaskOutcome } from '@airlock/contract/ipc/runner';
import type { ChildExit } from '@airlock/proc/sandbox/index';
import type { Masker } from './mask.ts';
import type { FinalState } from './report.ts';

/** Why a try ended without an outcome of its own making. */
export type Ending =
  | { readonly kind: 'outcome'; readonly outcome: TaskOutcome }
  /** Its process ended before it gave an outcome. */
  | { readonly kind: 'exited'; readonly exit: ChildExit }
  /** It broke the protocol. */
  | { readonly kind: 'broken'; readonly reason: string }
  | { readonly kind: 'timeout'; readonly seconds: number }
  /** The supervisor could not go on with it. */
  | { readonly kind: 'stopped'; readonly reason: string }
  /** The server says that the try is over: nothing more is sent. */
  | { readonly kind: 'gone' };

export type Verdict = {
  readonly final: FinalState;
  /** Line for the log of the try. */
  readonly level: 'info' | 'error';
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
};

/** What people are shown of a verdict; what a trigger is called with is data, and stays. */
function shown(masker: Masker, verdict: Verdict): Verdict {
  const { final, fields } = verdict;
  return {
    ...verdict,
    final: final.state === 'up_for_retry' ? { ...final, reason: masker.maskCut(final.reason) } : final,
    message: masker.maskCut(verdict.message),
    ...(fields ? { fields: masker.maskTexts(fields) as NonNullable<Verdict['fields']> } : {}),
  };
}

function failure(shouldRetry: boolean, message: string, fields?: Verdict['fields']): Verdict {
  const final: FinalState = shouldRetry ? { state: 'up_for_retry', reason: message } : { state: 'failed' };
  return { final, level: 'error', message, ...(fields ? { fields } : {}) };
}

function howItExited({ code, signal }: ChildExit): string {
  if (signal !== null) return `The task's process was killed by ${signal} before the task had a result.`;
  return `The task's process ended with status ${code ?? 'unknown'} before the task had a result.`;
}

function ofOutcome(outcome: TaskOutcome, shouldRetry: boolean): Verdict {
  switch (outcome.state) {
    case 'success':
      return { final: { state: 'success' }, level: 'info', message: 'The task succeeded.' };
    case 'skipped':
      return { final: { state: 'skipped' }, level: 'info', message: `The task was skipped: ${outcome.reason}` };
    case 'reschedule':
      return {
        final: { state: 'up_for_reschedule', afterSeconds: outcome.after_seconds },
        level: 'info',
        message: `Not ready yet; the next look is in ${outcome.after_seconds} s.`,
      };
    case 'deferred': {
      const { trigger, kwargs, timeout_seconds: timeoutSeconds } = outcome;
      return {
        final: { state: 'deferred', trigger, kwargs, timeoutSeconds },
        level: 'info',
        message: `The task waits for ${trigger}; a triggerer looks after that.`,
      };
    }
    case 'failed': {
      const { name, message, stack } = outcome.error;
      const verdict = failure(outcome.retryable && shouldRetry, `The task failed: ${name}: ${message}`, { stack });
      if (!outcome.retry || verdict.final.state !== 'up_for_retry') return verdict;
      const { delay_seconds: delaySeconds, reason } = outcome.retry;
      return { ...verdict, final: { state: 'up_for_retry', reason: reason ?? verdict.final.reason, delaySeconds } };
    }
  }
}

/** @param shouldRetry as `/run` answered: whether another try is left */
export function judge(ending: Exclude<Ending, { kind: 'gone' }>, shouldRetry: boolean, masker: Masker): Verdict {
  return shown(masker, verdictOf(ending, shouldRetry));
}

function verdictOf(ending: Exclude<Ending, { kind: 'gone' }>, shouldRetry: boolean): Verdict {
  switch (ending.kind) {
    case 'outcome':
      return ofOutcome(ending.outcome, shouldRetry);
    case 'exited':
      return failure(shouldRetry, howItExited(ending.exit));
    case 'broken':
      return failure(shouldRetry, `The task's process was killed: ${ending.reason}.`);
    case 'timeout':
      return failure(shouldRetry, `The task ran longer than its timeout of ${ending.seconds} s and was killed.`);
    case 'stopped':
      return failure(shouldRetry, ending.reason);
  }
}
