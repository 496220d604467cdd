/** Whether a file, or something that it imports, has changed. Reads as the supervisor, perhaps as root: see `readInside`. */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { resolve, sep } from 'node:path';

/** Part of every digest: raise it when the same files give other documents or modules than before. */
const FORMAT = 'airlock-parse-1';
export const MAX_INPUT_BYTES = 64 * 1024 * 1024;

/** True for a path in one of the folders, or one of them itself; by text, so real paths only. */
export function isInside(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path === folder || path.startsWith(folder + sep));
}

/**
 * Absolute real path of an input, if it lies in one of the folders that the parse child could see; else null. The list
 * of inputs comes from that child, and must not make us read anything that it could not.
 */
export function allowedInput(root: string, packageFolders: readonly string[], relative: string): string | null {
  try {
    const path = realpathSync(resolve(root, relative));
    return isInside(path, [root, ...packageFolders]) && statSync(path).isFile() ? path : null;
  } catch {
    return null;
  }
}

/**
 * Content of a regular file that lies in one of the folders; null for anything else. What was opened is what is judged:
 * whoever may write in a bundle could otherwise swap the file for a link to one that only we may read.
 */
export function readInside(path: string, folders: readonly string[]): Buffer | null {
  return useInside(path, folders, (descriptor, bytes) => (bytes <= MAX_INPUT_BYTES ? readFileSync(descriptor) : null));
}

/** The same for whoever needs a part of the file. @param use told the open file and its size; what it throws counts as null */
export function useInside<T>(
  path: string,
  folders: readonly string[],
  use: (descriptor: number, bytes: number) => T,
): T | null {
  let descriptor: number | null = null;
  try {
    // Without waiting for the other end of a pipe that stands in the file's place.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor);
    const inside = isInside(readlinkSync(`/proc/self/fd/${descriptor}`), folders);
    return inside && stat.isFile() ? use(descriptor, stat.size) : null;
  } catch {
    return null;
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** A short text that changes when the file does, without reading it. */
export function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? 'absent' : `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
}

/** SHA-256, hex, over names and contents. Null stands for a file that is not there, or may not be read. */
export function digestOf(entries: ReadonlyArray<{ readonly name: string; readonly content: Buffer | null }>): string {
  const hash = createHash('sha256').update(FORMAT);
  for (const { name, content } of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(`\0${name}\0${content === null ? 'absent' : createHash('sha256').update(content).digest('hex')}`);
  }
  return hash.digest('hex');
}
