/** Memory and processor time of a process and all that it started, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Clock ticks per second, as Linux shows them to programs on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

type Stat = { readonly pid: number; readonly parent: number; readonly ticks: number };

function readStats(): Stat[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return [{ pid: Number(name), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }];
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
