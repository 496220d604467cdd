/**
 * Files that hold a private key: read through one descriptor, and refused rather than repaired when others may read them,
 * since they may have been read already.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AppError } from '@airlock/contract/errors';

/** No key of ours is larger; a file that is larger is none. */
const MAX_BYTES = 64 * 1024;

/**
 * The content, or null when there is no file. Opened once and checked by descriptor: no window between the two.
 * @param followLinks for a path that the operator names, which on Kubernetes is always a link.
 * @throws KEY_UNAVAILABLE it can't be opened, or others may read it
 */
export function readPrivateFile(path: string, followLinks: boolean): Buffer | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | (followLinks ? 0 : constants.O_NOFOLLOW));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return null;
    throw unusable(
      `The signing key at ${path} can't be opened (${code}).`,
      `Make it a plain file of this user (${process.getuid?.()}), mode 0600.`,
    );
  }
  try {
    const stat = fstatSync(descriptor);
    checkPrivate(stat, path);
    if (!stat.isFile() || stat.size > MAX_BYTES) {
      throw unusable(`The signing key at ${path} is no file of at most ${MAX_BYTES} bytes.`, 'Name a file in PEM.');
    }
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @throws KEY_UNAVAILABLE the folder is missing, or others may enter it */
export function checkPrivateFolder(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) throw unusable(`There is no folder ${path}.`, 'Make it, mode 0700.');
  checkPrivate(stat, path);
}

function checkPrivate(stat: { readonly mode: number; readonly uid: number }, path: string): void {
  const uid = process.getuid?.() ?? stat.uid;
  if (stat.uid !== uid && stat.uid !== 0) {
    throw unusable(`${path} belongs to another user.`, `Run: chown ${uid} ${path}`);
  }
  if ((stat.mode & 0o077) !== 0) {
    throw unusable(
      `${path} may be read by others.`,
      'Replace the key if it may have been read, then run chmod go= on it.',
    );
  }
}

/**
 * Written whole under another name, then linked: a crash leaves no half key, and an existing file is never replaced.
 * @returns false when there is a file of that name already
 */
export function writePrivateFile(path: string, text: string): boolean {
  const draft = join(dirname(path), `.${basename(path)}.${process.pid}`);
  const descriptor = openSync(
    draft,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    fchmodSync(descriptor, 0o600);
    writeSync(descriptor, text);
    fsyncSync(descriptor);
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    closeSync(descriptor);
    unlinkSync(draft);
  }
}

export function unusable(text: string, remedy: string): AppError {
  return new AppError('KEY_UNAVAILABLE', { public: text, remedy });
}
