/**
 * The signature of a compact JWS, and nothing about what it says. The form and the use of the key are decided here, before
 * jose: jose alone takes headers that are not canonical base64url, and lets a header choose among the algorithms of a key.
 * @see RFC 7515 5.2, RFC 8725 3.1, 3.2
 */
import { AppError } from '@airlock/contract/errors';
import { compactVerify } from 'jose';
import { splitCompact, type UnverifiedJws } from './compact.ts';
import type { KeySet } from './key-set.ts';

/** Checks signatures that only the holder of a secret can check. @throws KEY_UNAVAILABLE it does not answer */
export type SecretChecker = {
  readonly kid: string;
  readonly alg: string;
  readonly check: (compact: string) => Promise<boolean>;
};

/** A compact JWS whose form is right. @throws TOKEN_INVALID */
export function readCompact(compact: string): UnverifiedJws {
  const jws = splitCompact(compact);
  if (!jws) throw invalid('not a compact JWS of at most 4 KiB');
  return jws;
}

/**
 * Proves that the key which the header names, by the one algorithm which that key serves, made this signature.
 * @throws TOKEN_INVALID
 */
export async function checkSignature(
  compact: string,
  { header }: UnverifiedJws,
  keys: KeySet,
  secret: SecretChecker | null = null,
): Promise<void> {
  // Extensions that must be understood, such as an unencoded payload (RFC 7797): we understand none.
  if ('crit' in header || 'b64' in header) throw invalid('extension');
  if (typeof header.kid !== 'string') throw invalid('no key named');
  if (secret !== null && header.kid === secret.kid) {
    if (header.alg !== secret.alg) throw invalid('other algorithm');
    if (!(await secret.check(compact))) throw invalid('signature');
    return;
  }
  const key = keys.get(header.kid);
  if (!key) throw invalid(UNKNOWN_KEY);
  if (header.alg !== key.alg) throw invalid('other algorithm');
  try {
    await compactVerify(compact, key.key, { algorithms: [key.alg] });
  } catch (cause) {
    throw invalid('signature', cause);
  }
}

const UNKNOWN_KEY = 'unknown key';

/** Whether an error of verification says that no key of that name is known: new keys may be worth asking for. */
export function isUnknownKey(error: unknown): boolean {
  return error instanceof AppError && error.code === 'TOKEN_INVALID' && error.internal.why === UNKNOWN_KEY;
}

/** One answer for the caller, whatever was wrong; the reason is for the log. */
export function invalid(why: string, cause?: unknown): AppError {
  return new AppError('TOKEN_INVALID', { public: 'The token is not valid.', internal: { why }, cause });
}
