/**
 * Passwords: argon2id with OWASP's least cost or more, and the same work whether or not the account exists.
 * @see promise L18; RFC 9106
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import { hash, verify } from '@node-rs/argon2';

export const PASSWORD_MIN_LENGTH = 12;
export const PASSWORD_MAX_LENGTH = 128;
/** KiB, passes, lanes; the algorithm is the library's default, argon2id. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
/** Hashes at work at once; each holds 19 MiB. More wait. */
const MAX_AT_ONCE = 2;

let running = 0;
const waiting: Array<() => void> = [];

async function bounded<T>(work: () => Promise<T>): Promise<T> {
  if (running >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  try {
    return await work();
  } finally {
    running--;
    waiting.shift()?.();
  }
}

/** Length in characters, not code units. */
export function isAcceptablePassword(password: string): boolean {
  const length = [...password].length;
  return length >= PASSWORD_MIN_LENGTH && length <= PASSWORD_MAX_LENGTH;
}

/** @throws VALIDATION shorter than 12 or longer than 128 characters */
export function checkPasswordPolicy(password: string): void {
  if (isAcceptablePassword(password)) return;
  throw new AppError('VALIDATION', {
    public: `A password has ${PASSWORD_MIN_LENGTH} to ${PASSWORD_MAX_LENGTH} characters.`,
    remedy: `Choose a password of ${PASSWORD_MIN_LENGTH} to ${PASSWORD_MAX_LENGTH} characters.`,
  });
}

/** The PHC string of a password that passed the policy. */
export async function hashPassword(password: string): Promise<string> {
  return bounded(() => hash(password, COST));
}

// What unknown accounts are compared with: nobody knows the password, and it costs what a real one costs.
let nobody: Promise<string> | undefined;

/**
 * Whether `password` is that of `stored`. Null (no account, no password set) takes the same time and is never true.
 * Longer input than any password is cut before it is hashed.
 */
export async function verifyPassword(stored: string | null, password: string): Promise<boolean> {
  nobody ??= hash(randomBytes(32).toString('base64url'), COST);
  const against = stored ?? (await nobody);
  const fits = password.length <= 4 * PASSWORD_MAX_LENGTH;
  const matches = await bounded(() => verify(against, fits ? password : 'too long'));
  return matches && fits && stored !== null;
}
