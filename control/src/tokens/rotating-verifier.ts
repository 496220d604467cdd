/** A verifier whose keys follow the signer's, so that a change of keys needs no restart and fails no honest request. */
import { taskAudiences } from '@airlock/contract/config/audiences';
import type { Config } from '@airlock/contract/config/index';
import type { VerificationKeys } from '@airlock/contract/ipc/token-service';
import type { JwksDocument } from '@airlock/contract/jwks';
import { createVerifier, isUnknownKey, type KeySet, type TokenVerifier } from '@airlock/token-verify';
import type { Logger } from 'pino';
import type { TokenMinter } from './minter.ts';
import type { TrustedKeys } from './trusted-keys.ts';

/**
 * A retired key is refused at the latest after this and the signer's own look at its folder. A new key is known before it
 * signs, since it is published 20 s ahead. @see promise L30, token-sign/src/key-folder.ts
 */
const REFRESH_MS = 5_000;
/** A token that names an unknown key makes us ask sooner, but not more often than this: anybody can send such a token. */
const UNKNOWN_KEY_MS = 1_000;
const CACHED_TOKENS = 10_000;

export type RotatingVerifier = TokenVerifier & {
  /** The public keys, as they are served. */
  readonly jwks: () => JwksDocument;
  readonly close: () => void;
};

/** @throws KEY_UNAVAILABLE the signer does not answer */
export async function createRotatingVerifier(
  minter: Pick<TokenMinter, 'keys' | 'checkSecret'>,
  trusted: TrustedKeys,
  config: Config,
  log: Logger,
): Promise<RotatingVerifier> {
  const build = ({ jwks, secret }: VerificationKeys, others: KeySet): TokenVerifier =>
    createVerifier({
      keys: jwks,
      trusted: others,
      airflowWorkloads: config.execution_api.airflow_workload_tokens,
      secret: secret && { ...secret, check: minter.checkSecret },
      userAudience: config.api_auth.jwt_audience,
      taskAudiences: taskAudiences(config.execution_api.jwt_audience),
      issuers: config.api_auth.jwt_issuer,
      leewaySeconds: config.api_auth.jwt_leeway,
      cacheSize: CACHED_TOKENS,
    });
  let keys = await minter.keys();
  let others = trusted.keys();
  let verifier = build(keys, others);
  /** With the old verifier goes what it remembered, so that a retired key's tokens end too. */
  const current = (): TokenVerifier => {
    if (others !== trusted.keys()) {
      others = trusted.keys();
      verifier = build(keys, others);
    }
    return verifier;
  };
  let asking: Promise<void> | null = null;
  let askedAt = performance.now();

  const refresh = async (): Promise<void> => {
    askedAt = performance.now();
    try {
      const next = await minter.keys();
      if (JSON.stringify(next) === JSON.stringify(keys)) return;
      keys = next;
      verifier = build(next, others);
      log.info({ kids: next.jwks.keys.map((key) => key.kid) }, 'the signing keys have changed');
    } catch (error) {
      log.warn({ err: error }, 'the token service does not answer; the known keys stay in use');
    }
  };
  const refreshOnce = (): Promise<void> => {
    asking ??= refresh().finally(() => {
      asking = null;
    });
    return asking;
  };
  const timer = setInterval(() => void refreshOnce(), REFRESH_MS);
  timer.unref();

  return {
    verify: async (kind, compact, nowMs) => {
      const before = current();
      try {
        return await before.verify(kind, compact, nowMs);
      } catch (error) {
        if (!isUnknownKey(error)) throw error;
        const asked = asking || performance.now() - askedAt >= UNKNOWN_KEY_MS ? refreshOnce() : null;
        await Promise.all([asked, trusted.askAgain()]);
        if (current() === before) throw error;
        return await current().verify(kind, compact, nowMs);
      }
    },
    jwks: () => keys.jwks,
    close: () => clearInterval(timer),
  };
}
