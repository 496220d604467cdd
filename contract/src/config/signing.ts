/**
 * What the options of signing say together. Pure, so that it can be asked before any key is read.
 * @see docs/security/jwt_token_authentication.md, Signing
 */
import { AppError } from '../errors.ts';
import { LEAST_SECRET_BYTES, type PairAlgorithm, type SecretAlgorithm } from '../signing-algorithms.ts';

export type SigningOptions = {
  readonly jwt_secret: string | null;
  readonly jwt_private_key_path: string | null;
  readonly jwt_algorithm: 'GUESS' | PairAlgorithm | SecretAlgorithm;
  readonly jwt_kid: string | null;
};

/** Where the key comes from: the folder `keys/signing` that we keep ourselves, a file of the operator's, or a secret. */
export type SigningSource =
  | { readonly from: 'folder' }
  | { readonly from: 'file'; readonly path: string; readonly algorithm: PairAlgorithm | null }
  | { readonly from: 'secret'; readonly secret: string; readonly algorithm: SecretAlgorithm };

/**
 * Airflow's rules: at most one of secret and key file; `GUESS` is HS512 for a secret and follows from the kind of a key.
 * @throws CONFIG_INVALID naming the option, never its value when that is a secret
 */
export function signingSource(options: SigningOptions): SigningSource {
  const { jwt_secret: secret, jwt_private_key_path: path, jwt_algorithm: algorithm } = options;
  if (secret !== null && path !== null) {
    throw invalid(
      '[api_auth] jwt_secret and [api_auth] jwt_private_key_path are both set; at most one may be.',
      'Unset jwt_secret: a key pair is safer, since whoever verifies with a secret can also sign.',
    );
  }
  if (secret !== null) {
    const chosen = algorithm === 'GUESS' ? 'HS512' : algorithm;
    if (!isSecretAlgorithm(chosen)) {
      throw invalid(
        `[api_auth] jwt_algorithm is ${algorithm}, which signs with a key pair, but a jwt_secret is set.`,
        'Set jwt_algorithm to HS512, HS384, HS256 or GUESS, or jwt_private_key_path instead of jwt_secret.',
      );
    }
    const least = LEAST_SECRET_BYTES[chosen];
    const bytes = Buffer.byteLength(secret);
    if (bytes < least) {
      throw invalid(
        `[api_auth] jwt_secret has ${bytes} bytes; ${chosen} needs ${least} at least (32 for HS256, 48 for HS384, 64 for HS512).`,
        'Set a longer one, for example the output of: openssl rand -base64 64 | tr -d "\\n"',
      );
    }
    return { from: 'secret', secret, algorithm: chosen };
  }
  if (isSecretAlgorithm(algorithm)) {
    throw invalid(
      `[api_auth] jwt_algorithm is ${algorithm}, which signs with a secret, but no jwt_secret is set.`,
      'Set jwt_secret, or jwt_algorithm to GUESS.',
    );
  }
  if (path !== null) return { from: 'file', path, algorithm: algorithm === 'GUESS' ? null : algorithm };
  if (algorithm !== 'GUESS' && algorithm !== 'EdDSA') {
    throw invalid(
      `[api_auth] jwt_algorithm is ${algorithm}, but jwt_private_key_path is not set, and the keys that Airlock makes are for EdDSA.`,
      'Set jwt_private_key_path to a key of that kind, or jwt_algorithm to GUESS.',
    );
  }
  if (options.jwt_kid !== null) {
    throw invalid(
      '[api_auth] jwt_kid names one key, but neither jwt_private_key_path nor jwt_secret is set; the keys that Airlock makes have names of their own.',
      'Unset jwt_kid.',
    );
  }
  return { from: 'folder' };
}

function isSecretAlgorithm(name: string): name is SecretAlgorithm {
  return Object.hasOwn(LEAST_SECRET_BYTES, name);
}

function invalid(text: string, remedy: string): AppError {
  return new AppError('CONFIG_INVALID', { public: text, remedy });
}
