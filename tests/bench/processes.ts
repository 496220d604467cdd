/** Memory and processor time of a process and all that it started, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Clock ticks per second, as Linux shows them to programs on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

/** `endedTicks`: of children that have ended and were waited for. */
type Stat = { readonly pid: number; readonly parent: number; readonly ticks: number; readonly endedTicks: number };

function readStats(): Stat[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      const [user, system, ofEnded, systemOfEnded] = fields.slice(11, 15).map(Number) as [
        number,
        number,
        number,
        number,
      ];
      return [
        { pid: Number(name), parent: Number(fields[1]), ticks: user + system, endedTicks: ofEnded + systemOfEnded },
      ];
    } catch {
      return []; // ended between the two readings
    }
  });
}

/** `root` and its descendants. */
export function processTree(root: number): Stat[] {
  const stats = readStats();
  const inside = new Set([root]);
  for (let before = -1; before !== inside.size; ) {
    before = inside.size;
    for (const { pid, parent } of stats) if (inside.has(parent)) inside.add(pid);
  }
  return stats.filter(({ pid }) => inside.has(pid));
}

export type Memory = {
  readonly megabytes: number;
  readonly processes: number;
  readonly unreadable: number;
  readonly byName: ReadonlyMap<string, number>;
};

/** Sum of the proportional set sizes. Processes that may not be read (not ours, non-dumpable, and we are not root) are counted apart. */
export function memoryOf(root: number): Memory {
  let kilobytes = 0;
  let unreadable = 0;
  const byName = new Map<string, number>();
  const tree = processTree(root);
  for (const { pid } of tree) {
    try {
      const pss = Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
      const name = nameOf(pid);
      kilobytes += pss;
      byName.set(name, (byName.get(name) ?? 0) + pss / 1024);
    } catch {
      unreadable++;
    }
  }
  return { megabytes: kilobytes / 1024, processes: tree.length, unreadable, byName };
}

function nameOf(pid: number): string {
  let words: string[] = [];
  try {
    words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // ended meanwhile
  }
  const script = words.find((word) => /\/(?:bin|dist)\/[a-z-]+\.(?:ts|js|mjs)$/.test(word));
  const name = (script ?? words[0] ?? '?').split('/').at(-1)!.split(':')[0]!;
  return name.replace(/\.(?:ts|js|mjs)$/, '');
}

/** Share of one core that the processes used over `seconds`, per cent. Time of processes that ended meanwhile is not seen. */
export async function processorShare(root: number, seconds: number): Promise<number> {
  const before = new Map(processTree(root).map(({ pid, ticks }) => [pid, ticks]));
  await pause(seconds * 1000);
  let ticks = 0;
  for (const stat of processTree(root)) ticks += stat.ticks - (before.get(stat.pid) ?? 0);
  return (ticks / TICKS_PER_SECOND / seconds) * 100;
}

/** Name of what no process below the root accounts for: tasks, which have ended, and whatever else the machine does. */
const REST = 'tasks and the rest of the machine';

/** Ticks in which a processor was not idle, since the machine started. @see proc_stat(5) */
function busyTicks(): number {
  const [user, nice, system, , , interrupts, softInterrupts] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return user! + nice! + system! + interrupts! + softInterrupts!;
}

/**
 * Processor time that `work` costs each kind of process below `root`, in seconds. Tasks come and go meanwhile, and not all
 * of them are waited for by a process of ours; so theirs is what remains of the machine's, and right on a quiet one only.
 */
export async function processorByName(root: number, work: () => Promise<void>): Promise<ReadonlyMap<string, number>> {
  const before = new Map(processTree(root).map(({ pid, ticks }) => [pid, ticks]));
  const busyBefore = busyTicks();
  const ownBefore = process.cpuUsage();
  await work();
  const own = process.cpuUsage(ownBefore);
  const seconds = new Map<string, number>();
  let rest = (busyTicks() - busyBefore) / TICKS_PER_SECOND - (own.user + own.system) / 1e6;
  for (const { pid, ticks } of processTree(root)) {
    const was = before.get(pid);
    if (was === undefined || ticks === was) continue;
    const spent = (ticks - was) / TICKS_PER_SECOND;
    rest -= spent;
    const name = nameOf(pid);
    seconds.set(name, (seconds.get(name) ?? 0) + spent);
  }
  return seconds.set(REST, rest);
}
