/** A verifier whose keys follow the signer's: asked for anew now and then, so that a rotation needs no restart. */

import { taskAudiences } from '@airlock/contract/config/audiences';
import type { Config } from '@airlock/contract/config/index';
import type { JwksDocument } from '@airlock/contract/ipc/token-service';
import { createVerifier, type TokenVerifier } from '@airlock/token-verify';
import type { Logger } from 'pino';
import type { TokenMinter } from './tokens/minter.ts';

/** A retired key is refused, and a new one accepted, at the latest after this. @see promise L30 */
const REFRESH_MS = 15_000;
const CACHED_TOKENS = 10_000;

export type RotatingVerifier = TokenVerifier & {
  /** The public keys, as they are served. */
  readonly jwks: () => JwksDocument;
  readonly close: () => void;
};

/** @throws KEY_UNAVAILABLE the signer does not answer */
export async function createRotatingVerifier(
  minter: TokenMinter,
  config: Config,
  log: Logger,
): Promise<RotatingVerifier> {
  const build = (keys: JwksDocument): TokenVerifier =>
    createVerifier({
      keys,
      userAudience: config.api_auth.jwt_audience,
      taskAudiences: taskAudiences(config.execution_api.jwt_audience),
      issuer: config.api_auth.jwt_issuer,
      leewaySeconds: config.api_auth.jwt_leeway,
      cacheSize: CACHED_TOKENS,
    });
  let keys = await minter.jwks();
  let current = build(keys);
  const timer = setInterval(async () => {
    try {
      const next = await minter.jwks();
      if (JSON.stringify(next) === JSON.stringify(keys)) return;
      keys = next;
      // With the old verifier goes what it remembered, so that a retired key's tokens end too.
      current = build(next);
      log.info({ kids: next.keys.map((key) => key.kid) }, 'the signing keys have changed');
    } catch (error) {
      log.warn({ err: error }, 'the token service does not answer; the known keys stay in use');
    }
  }, REFRESH_MS);
  timer.unref();
  return {
    verify: (kind, compact, nowMs) => current.verify(kind, compact, nowMs),
    jwks: () => keys,
    close: () => clearInterval(timer),
  };
}
