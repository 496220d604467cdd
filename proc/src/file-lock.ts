/** A lock that dies with its holder: flock(2) on an open file. @see flock(2) */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { rawCall } from './native/libc.ts';
import { here } from './native/syscalls.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;

export type FileLock = {
  /** What the holder before us wrote and never took back: it was killed. Null after an orderly end. */
  readonly left: string | null;
  /** Replaces the note in the file. */
  readonly note: (text: string) => void;
  /** Clears the note and gives the lock back. */
  readonly release: () => void;
};

/**
 * Takes the lock, or says who has it. The kernel frees it when the holder ends, however it ends, so nothing is ever stale.
 * @returns the lock, or the note of its holder
 */
export function lockFile(path: string): FileLock | { readonly heldBy: string } {
  const fd = openSync(path, 'a+', 0o600);
  if (rawCall(here('flock'), fd, LOCK_EX | LOCK_NB) < 0) {
    const heldBy = readFileSync(path, 'utf8');
    closeSync(fd);
    return { heldBy };
  }
  const left = readFileSync(path, 'utf8') || null;
  const note = (text: string) => {
    ftruncateSync(fd, 0);
    if (text !== '') writeSync(fd, text);
  };
  return {
    left,
    note,
    release: () => {
      note('');
      closeSync(fd);
    },
  };
}
