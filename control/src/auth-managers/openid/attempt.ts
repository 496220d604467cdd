/**
 * A log-in that is under way, kept sealed in the browser that began it: a callback that another browser is led to has no such
 * cookie, and nothing is stored for callers who never come back.
 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { SecretBox } from '../../api/secrets/index.ts';

export const ATTEMPT_COOKIE = '_openid';
/** Time for a person to log in at the provider, s. */
export const ATTEMPT_SECONDS = 600;
const OWNER = 'openid/attempt';

const attempt = z.strictObject({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  /** Path of this server to go to afterwards. */
  next: z.string(),
  /** Epoch ms. */
  expires: z.number(),
});
export type Attempt = z.output<typeof attempt>;

export function sealAttempt(box: SecretBox, value: Attempt): string {
  return box.seal(JSON.stringify(value), OWNER);
}

/** @throws INVALID_CREDENTIALS there is none, it was not made here, or its time is over */
export function openAttempt(box: SecretBox, sealed: string | null, nowMs: number): Attempt {
  const refuse = (reason: string, cause?: unknown) =>
    new AppError('INVALID_CREDENTIALS', {
      public: 'This browser has no log-in under way.',
      remedy: 'Begin the log-in again.',
      internal: { reason },
      cause,
    });
  if (sealed === null) throw refuse('no cookie');
  let value: Attempt;
  try {
    value = attempt.parse(JSON.parse(box.open(sealed, OWNER)));
  } catch (error) {
    throw refuse('not sealed by this deployment', error);
  }
  if (value.expires <= nowMs) throw refuse('expired');
  return value;
}
