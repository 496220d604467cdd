/** Process ids that this process started and Node waits for; every other child is a stray. See strays.ts. */
import type { ChildProcess } from 'node:child_process';

export const ownPids: Set<number> = new Set();

/** Keeps the id of `child` in `ownPids` while it lives. */
export function claim(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  ownPids.add(pid);
  child.once('exit', () => ownPids.delete(pid));
}
