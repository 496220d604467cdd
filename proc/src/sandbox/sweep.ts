/**
 * Kills what a sandboxed child left behind, where no pid namespace does it: by process group, by user id, and by what has
 * been reparented to this process (which is its descendants' subreaper).
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { rawCall } from '../native/libc.ts';
import { here } from '../native/syscalls.ts';
import { ownPids } from '../own-pids.ts';

const WNOHANG = 1;
/** About five seconds. */
const MAX_ROUNDS = 250;

export type ProcessFacts = {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly startTicks: string;
};

/** Facts of /proc/PID/stat, or null when the process is gone. The name may hold spaces and brackets: cut after the last. */
export function processFacts(pid: number): ProcessFacts | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pid, state: fields[0]!, parent: Number(fields[1]), startTicks: fields[19]! };
  } catch {
    return null;
  }
}

function allPids(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Sends SIGKILL; a process that is gone already is no error. @returns whether there was one */
export function killQuietly(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

function ofUser(uid: number): readonly number[] {
  return allPids().filter((pid) => {
    try {
      return statSync(`/proc/${pid}`).uid === uid || realUid(pid) === uid;
    } catch {
      return false;
    }
  });
}

/** The owner of /proc/PID is root for a process that made itself unreadable; its status tells the real one. */
function realUid(pid: number): number {
  const line = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1]);
}

function reparentedToUs(): readonly number[] {
  return allPids().filter((pid) => !ownPids.has(pid) && processFacts(pid)?.parent === process.pid);
}

/**
 * One round. A dead process counts too, once, and is collected where it is ours: what has died since the list of processes
 * was read may have made another one, which that list lacks. So a round that finds nothing new, dead or alive, is proof
 * that nothing is left.
 * @param dead ids found dead in earlier rounds; added to
 * @returns how many processes it found
 */
export function sweepOnce(group: number, uid: number | null, dead: Set<number>): number {
  let found = killQuietly(-group) ? 1 : 0;
  for (const pid of uid === null ? reparentedToUs() : ofUser(uid)) {
    const isDead = processFacts(pid)?.state === 'Z';
    if (!isDead || !dead.has(pid)) found++;
    if (isDead) dead.add(pid);
    killQuietly(pid);
    // Node waits only for what it started itself.
    if (!ownPids.has(pid)) rawCall(here('wait4'), pid, null, WNOHANG, null);
  }
  return found;
}

/** Rounds until one finds nothing, or the bound is over. @returns whether nothing is left */
export async function sweep(group: number, uid: number | null): Promise<boolean> {
  const dead = new Set<number>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (sweepOnce(group, uid, dead) === 0) return true;
    await delay(Math.min(20, 1 + round));
  }
  return false;
}
