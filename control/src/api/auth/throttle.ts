/**
 * How often log-ins may fail: per account and per address, within a sliding minute, on all replicas together. An attempt is
 * counted before the password is looked at, so that parallel guesses do not slip past, and is taken back when it succeeds.
 * A name counts whether or not there is such an account, so that a refusal does not tell.
 * @see promise L18
 */
import { randomUUID } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import {
  deleteLoginAttempt,
  insertLoginAttempt,
  lockLoginKeys,
  oldestOfTooMany,
} from '@airlock/store/queries/account/login-attempt';
import type { ControlDeps } from '../../deps.ts';
import { instantIso, instantMs } from '../../domain/instants.ts';

export const MAX_FAILURES = 10;
export const WINDOW_MS = 60_000;

/** The network that one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 one. @see RFC 6177 */
export function subscriberOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  if (!isIPv6(address)) return address;
  const [head = '', tail = ''] = address.split('%')[0]!.split('::');
  const left = head.split(':').filter((group) => group !== '');
  const right = tail.split(':').filter((group) => group !== '');
  const zeros = address.includes('::') ? Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0') : [];
  const network = [...left, ...zeros, ...right].slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}

export type Throttle = {
  /** @throws RATE_LIMITED with `retryAfterSeconds`, when account or address has failed too often. Makes nobody wait. */
  readonly refuse: () => Promise<void>;
  /**
   * Counts the attempt. @returns what takes it back after a success.
   * @throws RATE_LIMITED as above; that attempt is not counted, so the wait does not grow with knocking
   */
  readonly count: () => Promise<() => Promise<void>>;
};

/** Of one log-in. */
export function createThrottle(
  deps: Pick<ControlDeps, 'db' | 'clock' | 'secrets'>,
  login: { readonly username: string; readonly address: string },
): Throttle {
  const keys = [
    deps.secrets.fingerprint(login.username, 'login account'),
    deps.secrets.fingerprint(subscriberOf(login.address), 'login address'),
  ];
  const refuseIn = async (db: Db, nowMs: number): Promise<void> => {
    const sinceIso = instantIso(nowMs - WINDOW_MS);
    const oldestMs = instantMs(await oldestOfTooMany(db, { keys, sinceIso, limit: MAX_FAILURES }));
    if (oldestMs === null) return;
    throw new AppError('RATE_LIMITED', {
      public: 'Too many failed log-ins. Try again later.',
      internal: { retryAfterSeconds: Math.max(1, Math.ceil((oldestMs + WINDOW_MS - nowMs) / 1000)) },
    });
  };
  return {
    refuse: () => refuseIn(deps.db, deps.clock.nowMs()),
    count: async () => {
      const id = randomUUID();
      const nowMs = deps.clock.nowMs();
      await deps.db.transaction(async (tx) => {
        await lockLoginKeys(tx, keys);
        await refuseIn(tx, nowMs);
        await insertLoginAttempt(tx, { id, keys, atIso: instantIso(nowMs) });
      });
      return () => deleteLoginAttempt(deps.db, id);
    },
  };
}
