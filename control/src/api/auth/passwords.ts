/** Passwords at rest: argon2id with OWASP's least cost, and never more of it at once than the machine should spend on log-ins. */
import { AppError } from '@airlock/contract/errors';
import { hash, verify } from '@node-rs/argon2';
import { isCommonPassword } from './common-passwords.ts';
import { createGate } from './gate.ts';

export const PASSWORD_MIN_LENGTH = 12;
export const PASSWORD_MAX_LENGTH = 128;
/** KiB, passes, lanes; the algorithm is the library's default, argon2id. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
/** What unknown accounts are compared with: of the same cost, and of no password, since its hash was drawn at random. */
const NOBODY = '$argon2id$v=19$m=19456,t=2,p=1$RQShkXlrxRLAnBqnpH3dBQ$cKxa/DA8t6vL4A677yEgiCZtsjOAaS4MMUU7PdOz/1o';

/** Every hash of this process goes through here: each holds 19 MiB and a core for some 30 ms. The whole line is about a second. */
export const hashGate = createGate({ atOnce: 2, inLine: 50 });

/** Why a password may not be set, as a sentence; null when it may. The only rules there are. */
export async function passwordProblem(password: string): Promise<string | null> {
  const length = [...password].length; // characters, not code units
  if (length < PASSWORD_MIN_LENGTH || length > PASSWORD_MAX_LENGTH) {
    return `A password has ${PASSWORD_MIN_LENGTH} to ${PASSWORD_MAX_LENGTH} characters.`;
  }
  return (await isCommonPassword(password, PASSWORD_MIN_LENGTH))
    ? 'This password is one of those that are tried first.'
    : null;
}

/** The PHC string of a new password. @throws VALIDATION one that may not be set · RATE_LIMITED */
export async function hashNewPassword(password: string): Promise<string> {
  const problem = await passwordProblem(password);
  if (problem !== null) {
    throw new AppError('VALIDATION', {
      public: problem,
      remedy: `Choose one of ${PASSWORD_MIN_LENGTH} to ${PASSWORD_MAX_LENGTH} characters that others would not choose.`,
    });
  }
  return hashGate.enter(() => hash(password, COST));
}

/**
 * Whether `password` is that of `stored`. Null (no account, no password set) takes the same time and is never true.
 * Longer input than any password is cut before it is hashed. Call it inside `hashGate`.
 */
export async function verifyPassword(stored: string | null, password: string): Promise<boolean> {
  const fits = password.length <= 4 * PASSWORD_MAX_LENGTH;
  const matches = await verify(stored ?? NOBODY, fits ? password : 'too long');
  return matches && fits && stored !== null;
}
