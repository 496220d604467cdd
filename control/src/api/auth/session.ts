/**
 * Sessions of browsers: a token in a cookie that is renewed while it is used, up to an end that no use moves. Renewing makes one
 * successor, whatever number of requests ask at once, and the token before the last one is refused from then on, so a session
 * never has more than two that work. Bearer tokens are never renewed.
 * @see rest-api 2.6; promises L3 (the same rule for tasks), L20
 */
import { randomUUID } from 'node:crypto';
import type { UserClaims } from '@airlock/contract/claims';
import { insertSession, renewSession, type SessionToken, successorOf } from '@airlock/store/queries/account/session';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { ControlDeps } from '../../deps.ts';
import { instantIso } from '../../domain/instants.ts';

type Deps = Pick<ControlDeps, 'db' | 'clock' | 'config' | 'minter'>;

/** For so long the predecessor still gets the successor: requests that were under way when another one renewed. */
const SUCCESSOR_MS = 60_000;

/** A successor that would not live so much longer is not worth making. */
const LEAST_GAIN_SECONDS = 60;

/** 32 hex digits; what revocation names. */
export function newJti(): string {
  return randomUUID().replaceAll('-', '');
}

/** The token of this stage, the same however often it is asked for. It does not outlive the session. */
async function mintFor(deps: Deps, account: string, { jti, issued_at, ends_at }: SessionToken): Promise<string> {
  const issuedAtMs = Date.parse(issued_at);
  const leftSeconds = Math.floor((Date.parse(ends_at) - issuedAtMs) / 1000);
  const ttlSeconds = Math.max(1, Math.min(deps.config.api_auth.jwt_expiration_time, leftSeconds));
  return deps.minter.mint('user', { sub: account, ttlSeconds, jti, issuedAtMs });
}

/** Begins the session of somebody who has just proved who he is. @returns the token for the cookie */
export async function beginSession(deps: Deps, account: string, address: string): Promise<string> {
  const nowMs = deps.clock.nowMs();
  const issued_at = instantIso(nowMs);
  const ends_at = instantIso(nowMs + deps.config.api_auth.session_lifetime * 1000);
  const jti = newJti();
  await deps.db.transaction(async (tx) => {
    await insertSession(tx, { jti, account, issuedIso: issued_at, endsIso: ends_at });
    const extra = JSON.stringify({ address, jti, session: true });
    await insertEventLog(tx, { nowIso: issued_at, event: 'login', owner: account, extra });
  });
  return mintFor(deps, account, { jti, issued_at, ends_at });
}

/** The token that takes the place of this one, when half of its life is over and a session stands behind it; else null. */
export async function renewedToken(deps: Deps, claims: UserClaims): Promise<string | null> {
  const nowMs = deps.clock.nowMs();
  if (nowMs / 1000 < (claims.iat + claims.exp) / 2) return null;
  const nowIso = instantIso(nowMs);
  const next =
    (await renewSession(deps.db, {
      jti: claims.jti,
      newJti: newJti(),
      nowIso,
      // Near its end a session has nothing to give any more.
      endsAfterIso: instantIso((claims.exp + LEAST_GAIN_SECONDS) * 1000),
    })) ?? (await successorOf(deps.db, claims.jti, instantIso(nowMs - SUCCESSOR_MS)));
  return next && mintFor(deps, claims.sub, next);
}
