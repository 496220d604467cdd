/** Private work folders where the child has no file tree of its own: one below a folder that others can only pass through. */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let base: string | null = null;

/** A new empty folder, 0700, owned by the child's user id (or ours). */
export function makeWorkDir(uid: number | null, parent = tmpdir()): string {
  if (base === null) {
    base = mkdtempSync(join(parent, 'airlock-work-'));
    chmodSync(base, 0o711);
    const made = base;
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  }
  const folder = mkdtempSync(join(base, 'try-'));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (uid !== null) chownSync(folder, uid, uid);
  return folder;
}

/** Removes it with all that is in it; links are removed, never followed. Nothing of the child runs any more. */
export function removeWorkDir(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 2 });
}

/** Removes the work folders that a killed process left below `parent`, which only one supervisor uses at a time. */
export function clearWorkDirs(parent: string): void {
  for (const name of readdirSync(parent)) {
    const folder = join(parent, name);
    if (name.startsWith('airlock-work-') && folder !== base) rmSync(folder, { recursive: true, force: true });
  }
}
