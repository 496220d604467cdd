import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { Masker } from './mask.ts';
import { type Ending, judge as judgeMasked } from './outcome.ts';

const judge = (ending: Exclude<Ending, { kind: 'gone' }>, shouldRetry: boolean, masker = new Masker(5)) =>
  judgeMasked(ending, shouldRetry, masker);

const failed = (retryable: boolean): Ending & { kind: 'outcome' } => ({
  kind: 'outcome',
  outcome: { state: 'failed', retryable, error: { name: 'Error', message: 'no', stack: 'at x' } },
});

test('a failure is reported for retry only if the server left a try and the task did not forbid it', () => {
  equal(judge(failed(true), true).final.state, 'up_for_retry');
  equal(judge(failed(true), false).final.state, 'failed');
  equal(judge(failed(false), true).final.state, 'failed');
});

test('what the task’s own policy says of the next try is reported with it, and only if there is one', () => {
  const { outcome } = failed(true);
  const policed = (retry: object) => judge({ kind: 'outcome', outcome: { ...outcome, retry } as never }, true).final;
  const own = { delay_seconds: 5, reason: 'rate limit' };
  deepEqual(policed(own), { state: 'up_for_retry', reason: 'rate limit', delaySeconds: 5 });
  match(JSON.stringify(policed({ delay_seconds: 0, reason: null })), /"The task failed: Error: no".*"delaySeconds":0/);
  const last = judge({ kind: 'outcome', outcome: { ...outcome, retry: own } as never }, false).final;
  deepEqual(last, { state: 'failed' });
});

test('whatever ends a process without an outcome is a failure that says what happened', () => {
  const endings = [
    [{ kind: 'exited', exit: { code: 3, signal: null } }, /ended with status 3/],
    [{ kind: 'exited', exit: { code: null, signal: 'SIGSEGV' } }, /killed by SIGSEGV/],
    [{ kind: 'broken', reason: 'a message is not JSON' }, /a message is not JSON/],
    [{ kind: 'timeout', seconds: 5 }, /timeout of 5 s/],
    [{ kind: 'stopped', reason: 'The worker was stopped.' }, /The worker was stopped/],
  ] as const;
  for (const [ending, words] of endings) {
    const verdict = judge(ending, false);
    equal(verdict.final.state, 'failed');
    equal(verdict.level, 'error');
    match(verdict.message, words);
    equal(judge(ending, true).final.state, 'up_for_retry');
  }
});

test('a skip is never a failure, and a look that found nothing is put off', () => {
  equal(judge({ kind: 'outcome', outcome: { state: 'skipped', reason: 'none' } }, true).final.state, 'skipped');
  deepEqual(judge({ kind: 'outcome', outcome: { state: 'reschedule', after_seconds: 60 } }, true).final, {
    state: 'up_for_reschedule',
    afterSeconds: 60,
  });
});

test('a verdict shows no secret, in message, reason or stack, and what a trigger is called with stays', () => {
  const masker = new Masker(5);
  masker.add('s3cret-s3cret');
  const error = { name: 'Error', message: 'bad s3cret-s3cret', stack: 'at s3cret-s3cret' };
  const verdict = judge({ kind: 'outcome', outcome: { state: 'failed', retryable: true, error } }, true, masker);
  const message = 'The task failed: Error: bad ***';
  deepEqual(verdict, {
    final: { state: 'up_for_retry', reason: message },
    level: 'error',
    message,
    fields: { stack: 'at ***' },
  });
  const deferred = {
    state: 'deferred',
    trigger: 'T',
    kwargs: { key: 's3cret-s3cret' },
    timeout_seconds: null,
  } as const;
  deepEqual(judge({ kind: 'outcome', outcome: deferred }, true, masker).final, {
    state: 'deferred',
    trigger: 'T',
    kwargs: { key: 's3cret-s3cret' },
    timeoutSeconds: null,
  });
});
