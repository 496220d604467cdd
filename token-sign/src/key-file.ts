/**
 * The signing key on disk: PKCS8 PEM, mode 0600, in a folder of mode 0700 that belongs to us.
 * A key that others may read is refused rather than repaired: it may have been read already.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type PublicJwk, publicJwk } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import { thumbprint } from '@airlock/token-verify';

export type SigningKey = {
  /** RFC 7638 thumbprint of the public half. */
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: PublicJwk;
};

export const SIGNING_KEY_FILE = 'token-signing.pem';

/**
 * Reads the signing key of `folder`.
 * @param generate make one when there is none; only standalone says so.
 * @throws KEY_UNAVAILABLE no key, a key that others may read, one that is no Ed25519 key, a folder that is not ours
 */
export function loadSigningKey(folder: string, generate: boolean): SigningKey {
  if (generate) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, SIGNING_KEY_FILE);
  const found = readKey(path);
  if (found) return found;
  if (!generate) {
    throw unusable(`There is no signing key at ${path}.`, 'Put the deployment’s signing key there (mode 0600).');
  }
  checkPrivate(statSync(folder), folder);
  makeKey(folder, path);
  const made = readKey(path);
  if (!made) throw unusable(`The signing key at ${path} vanished while it was made.`, 'Start again.');
  return made;
}

/** Null when there is no file. Opened once, without following a link, and checked by descriptor: no window between the two. */
function readKey(path: string): SigningKey | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return null;
    throw unusable(
      `The signing key at ${path} can't be opened (${code}).`,
      'Make it a plain file of this user, mode 0600.',
    );
  }
  try {
    checkPrivate(fstatSync(descriptor), path);
    return parseKey(readFileSync(descriptor), path);
  } finally {
    closeSync(descriptor);
  }
}

function checkPrivate(stat: { mode: number; uid: number }, path: string): void {
  const uid = process.getuid?.() ?? stat.uid;
  if (stat.uid !== uid && stat.uid !== 0)
    throw unusable(`${path} belongs to another user.`, `Run: chown ${uid} ${path}`);
  if ((stat.mode & 0o077) !== 0) {
    throw unusable(
      `${path} may be read by others.`,
      'Replace the key if it may have been read, then run chmod go= on it.',
    );
  }
}

function parseKey(pem: Buffer, path: string): SigningKey {
  try {
    const privateKey = createPrivateKey({ key: pem, format: 'pem' });
    const jwk = publicJwk.parse(createPublicKey(privateKey).export({ format: 'jwk' }));
    return { kid: thumbprint(jwk), privateKey, jwk };
  } catch {
    // The cause could quote the file.
    throw unusable(`The file ${path} holds no Ed25519 private key.`, 'Put an Ed25519 key in PKCS8 PEM there.');
  }
}

/** Written whole under another name, then linked: a crash leaves no half key, and an existing key is never replaced. */
function makeKey(folder: string, path: string): void {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
  const draft = join(folder, `.${SIGNING_KEY_FILE}.${process.pid}`);
  const descriptor = openSync(
    draft,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    fchmodSync(descriptor, 0o600);
    writeSync(descriptor, pem as string);
    fsyncSync(descriptor);
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    closeSync(descriptor);
    unlinkSync(draft);
  }
}

function unusable(text: string, remedy: string): AppError {
  return new AppError('KEY_UNAVAILABLE', { public: text, remedy });
}
