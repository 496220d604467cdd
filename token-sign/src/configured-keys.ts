/** The keys that the configuration names. @see docs/security/jwt_token_authentication.md, Signing */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { Config } from '@airlock/contract/config/index';
import { signingSource } from '@airlock/contract/config/signing';
import { AppError, isAppError } from '@airlock/contract/errors';
import type { PairAlgorithm } from '@airlock/contract/signing-algorithms';
import { type KeyFolder, openKeyFolder } from './key-folder.ts';
import { readPrivateFile, unusable } from './private-file.ts';
import { keyPair, oneKeyPair, type SigningKeys, secretKey } from './signing-keys.ts';

/** Airflow's name for the key of a secret that has none. */
const NAMELESS_SECRET = 'not-used';

/** Which algorithms a kind of key may serve; the first is what GUESS means. */
const ALGORITHMS: Readonly<Record<string, readonly PairAlgorithm[]>> = {
  ed25519: ['EdDSA'],
  rsa: ['RS256', 'RS512'],
  ec: ['ES256'],
};

export type ConfiguredKeys = {
  readonly keys: SigningKeys;
  /** Where the keys can be changed while we run; null when the configuration names the one key. */
  readonly folder: KeyFolder | null;
};

/**
 * @param generate make a key in `folder` when none is configured and there is none; only standalone says so.
 * @throws CONFIG_INVALID the options contradict each other or the key · KEY_UNAVAILABLE no key, or one that others may read
 */
export function configuredKeys(
  options: Config['api_auth'],
  place: Parameters<typeof openKeyFolder>[0],
): ConfiguredKeys {
  const source = signingSource(options);
  if (source.from === 'secret') {
    return { keys: secretKey(source.secret, source.algorithm, options.jwt_kid ?? NAMELESS_SECRET), folder: null };
  }
  if (source.from === 'file') {
    return { keys: oneKeyPair(readPair(source.path, source.algorithm, options.jwt_kid)), folder: null };
  }
  const folder = openKeyFolder(place);
  return { keys: folder.keys, folder };
}

function readPair(path: string, wanted: PairAlgorithm | null, kid: string | null) {
  const pem = readPrivateFile(path, true);
  if (pem === null) {
    throw unusable(
      `There is no file ${path}, which [api_auth] jwt_private_key_path names.`,
      'Put the private key in PEM there (mode 0600), or correct the option.',
    );
  }
  const privateKey = parsePrivateKey(pem, path);
  const kind = privateKey.asymmetricKeyType ?? '';
  const fitting = ALGORITHMS[kind];
  const alg = wanted ?? fitting?.[0];
  const isOtherCurve = kind === 'ec' && privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1';
  if (!fitting || !alg || isOtherCurve) {
    throw wrong(
      `The key in ${path} is none that Airlock signs with ([api_auth] jwt_private_key_path).`,
      'Use an Ed25519 key, an RSA key of 2048 bits or more, or an EC key on P-256.',
    );
  }
  if (!fitting.includes(alg)) {
    throw wrong(
      `[api_auth] jwt_algorithm is ${alg}, but the key in ${path} serves ${fitting.join(' or ')}.`,
      `Set jwt_algorithm to GUESS or ${fitting.join(' or ')}, or name another key.`,
    );
  }
  try {
    return keyPair(privateKey, alg, kid);
  } catch (error) {
    if (!isAppError(error)) throw error;
    throw wrong(
      `The key in ${path} can't be used: ${error.message}`,
      'Make a new one: openssl genpkey -algorithm ed25519',
    );
  }
}

/** @throws CONFIG_INVALID without a cause, which could quote the file */
function parsePrivateKey(pem: Buffer, path: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw wrong(
      `The file ${path} holds no private key in PEM without a password ([api_auth] jwt_private_key_path).`,
      'Make one: openssl genpkey -algorithm ed25519',
    );
  }
}

function wrong(text: string, remedy: string): AppError {
  return new AppError('CONFIG_INVALID', { public: text, remedy });
}
