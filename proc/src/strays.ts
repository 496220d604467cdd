/** Orphans of our descendants: they become our children (subreaper), and are killed and reaped here. */
import { readdirSync, readFileSync } from 'node:fs';
import { rawCall } from './native/libc.ts';
import { here } from './native/syscalls.ts';
import { ownPids } from './own-pids.ts';

const WNOHANG = 1;

export { becomeSubreaper } from './native/process.ts';

/** Process ids whose parent is this process, zombies included. */
export function childPids(): number[] {
  const own: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The name in parentheses may hold spaces and parentheses itself.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[1]) === process.pid) own.push(Number(name));
    } catch {
      // It ended between the two reads.
    }
  }
  return own;
}

/**
 * Kills every child that we did not start ourselves, and reaps those that are dead: Node waits only for what it started.
 * @returns how many were found
 */
export function killStrays(): number {
  const strays = childPids().filter((pid) => !ownPids.has(pid));
  for (const pid of strays) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended already.
    }
    rawCall(here('wait4'), pid, null, WNOHANG, null);
  }
  return strays.length;
}
