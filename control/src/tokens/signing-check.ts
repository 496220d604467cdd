/** Whether tokens can be made and verified at this moment, found out by doing both. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '@airlock/contract/clock';
import type { TokenVerifier } from '@airlock/token-verify';
import type { Logger } from 'pino';
import type { TokenMinter } from './minter.ts';

/** True when both worked. Never rejects; answers within `TIMEOUT_MS`. */
export type SigningCheck = () => Promise<boolean>;

/** Longest wait for the signer. With `FRESH_MS` it bounds for how long a failure can go unseen. */
const TIMEOUT_MS = 2_000;
/** An answer is good for that long, so that many who ask cost one token a second. */
const FRESH_MS = 1_000;
const TTL_SECONDS = 5;

/**
 * The token is an execution token of a try that does not exist, so that it opens nothing, and goes the way of every other:
 * signer, socket, keys of this process, profile.
 */
export function createSigningCheck(deps: {
  readonly minter: Pick<TokenMinter, 'mint'>;
  readonly verifier: TokenVerifier;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs?: number;
}): SigningCheck {
  const attempt = async (): Promise<boolean> => {
    const sub = randomUUID();
    const token = await deps.minter.mint('execution', {
      sub,
      ttlSeconds: TTL_SECONDS,
      jti: randomBytes(16).toString('hex'),
    });
    return (await deps.verifier.verify('execution', token, deps.clock.nowMs())).sub === sub;
  };
  const bounded = (): Promise<boolean> => {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error('no answer in time')), deps.timeoutMs ?? TIMEOUT_MS);
    return Promise.race([attempt(), late.promise])
      .catch((error: unknown) => {
        deps.log.warn({ err: error }, 'health: a token could not be made and verified');
        return false;
      })
      .finally(() => clearTimeout(timer));
  };
  let last: { readonly result: Promise<boolean>; readonly askedAtMs: number } | null = null;
  return () => {
    const nowMs = performance.now();
    if (last === null || nowMs - last.askedAtMs >= FRESH_MS) last = { result: bounded(), askedAtMs: nowMs };
    return last.result;
  };
}
