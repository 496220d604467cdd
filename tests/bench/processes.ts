/** Memory and processor time of a process and all that it started, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Clock ticks per second, as Linux shows them to programs on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

type Stat = {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
  /** Of children that have ended and were waited for, and theirs. */
  readonly childTicks: number;
};

function readStats(): Stat[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      const ticks = Number(fields[11]) + Number(fields[12]);
      const childTicks = Number(fields[13]) + Number(fields[14]);
      return [{ pid: Number(name), parent: Number(fields[1]), ticks, childTicks }];
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
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  const script = words.find((word) => /\/bin\/[a-z-]+\.(?:ts|js)$/.test(word));
  return (script ?? words[0] ?? '?').split('/').at(-1)!.split(':')[0]!;
}

/** Share of one core that the processes used over `seconds`, per cent. Time of processes that ended meanwhile is not seen. */
export async function processorShare(root: number, seconds: number): Promise<number> {
  const before = new Map(processTree(root).map(({ pid, ticks }) => [pid, ticks]));
  await pause(seconds * 1000);
  let ticks = 0;
  for (const stat of processTree(root)) ticks += stat.ticks - (before.get(stat.pid) ?? 0);
  return (ticks / TICKS_PER_SECOND / seconds) * 100;
}

/** Name under which the time of children that have ended is shown: tasks, and what starts them. */
const ENDED = 'tasks';

/**
 * Processor time that `work` costs each kind of process below `root`, in seconds. What a process spends on children that end
 * meanwhile is shown apart, as the tasks'; those that run before and after are few.
 */
export async function processorByName(root: number, work: () => Promise<void>): Promise<ReadonlyMap<string, number>> {
  const before = new Map(processTree(root).map((stat) => [stat.pid, stat]));
  await work();
  const seconds = new Map<string, number>();
  const add = (name: string, ticks: number) => {
    if (ticks > 0) seconds.set(name, (seconds.get(name) ?? 0) + ticks / TICKS_PER_SECOND);
  };
  for (const { pid, ticks, childTicks } of processTree(root)) {
    const was = before.get(pid);
    // One that was not there before is a task that still runs, or a connection's process of PostgreSQL.
    const name = tryName(pid);
    add(was !== undefined || name === 'postgres' ? name : ENDED, ticks - (was?.ticks ?? 0));
    if (name === 'supervisor.ts') add(ENDED, childTicks - (was?.childTicks ?? 0));
  }
  return seconds;
}

function tryName(pid: number): string {
  try {
    return nameOf(pid);
  } catch {
    return ENDED;
  }
}
