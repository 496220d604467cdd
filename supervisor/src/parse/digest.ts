/** Whether a file, or something that it imports, has changed. */
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { resolve, sep } from 'node:path';

/** Part of every digest: raise it when the same files give other documents or modules than before. */
const FORMAT = 'airlock-parse-1';
const MAX_INPUT_BYTES = 64 * 1024 * 1024;

/**
 * Absolute real path of an input, if it lies in one of the folders that the parse child could see; else null. The list
 * of inputs comes from that child, and must not make us read anything that it could not.
 */
export function allowedInput(root: string, packageFolders: readonly string[], relative: string): string | null {
  try {
    const path = realpathSync(resolve(root, relative));
    const inside = [root, ...packageFolders].some((folder) => path === folder || path.startsWith(folder + sep));
    return inside && statSync(path).isFile() ? path : null;
  } catch {
    return null;
  }
}

/** A short text that changes when the file does, without reading it. */
export function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? 'absent' : `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
}

/** SHA-256, hex, over names and contents. A file that can't be read counts as absent. */
export function digestOf(entries: ReadonlyArray<{ readonly name: string; readonly path: string | null }>): string {
  const hash = createHash('sha256').update(FORMAT);
  for (const { name, path } of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(`\0${name}\0${path === null ? 'absent' : contentHash(path)}`);
  }
  return hash.digest('hex');
}

function contentHash(path: string): string {
  try {
    if (statSync(path).size > MAX_INPUT_BYTES) return stampOf(path);
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch {
    return 'absent';
  }
}
