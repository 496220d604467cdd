/**
 * Remembers on disk which children live, so that a supervisor that starts after one that was killed ends what it left
 * behind. A process is named by id and start time: an id that has been given to somebody else is left alone.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { killQuietly, processFacts } from './sweep.ts';

/** Lines after which the file is written anew, with the living only. */
const COMPACT_AT = 2000;

let file: string | null = null;
let lines = 0;
const living = new Map<number, string>();

/** From now on children are written down in `path` (0600). What an earlier process wrote there is killed first. */
export function trackChildren(path: string): number {
  const killed = killLeftovers(path);
  file = path;
  compact();
  return killed;
}

/** @returns how many processes named in the file were still there */
export function killLeftovers(path: string): number {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return 0; // no earlier process
  }
  let killed = 0;
  for (const line of text.split('\n')) {
    const [pid, startTicks] = line.split(' ');
    if (!/^\d+$/.test(pid ?? '') || processFacts(Number(pid))?.startTicks !== startTicks) continue;
    // Each child leads a group and session of its own; its namespaces end with it.
    killQuietly(-Number(pid));
    if (killQuietly(Number(pid))) killed++;
  }
  return killed;
}

function compact(): void {
  if (file === null) return;
  lines = living.size;
  writeFileSync(file, [...living].map(([pid, start]) => `${pid} ${start}\n`).join(''), { mode: 0o600 });
}

export function noteChild(pid: number): void {
  if (file === null) return;
  const facts = processFacts(pid);
  if (facts === null) return;
  living.set(pid, facts.startTicks);
  appendFileSync(file, `${pid} ${facts.startTicks}\n`, { mode: 0o600 });
  if (++lines > COMPACT_AT) compact();
}

export function forgetChild(pid: number): void {
  living.delete(pid);
}
