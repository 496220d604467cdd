/** Which processes belong to an installation, as /proc tells it: to kill one of them, to read it, and to see that none is left. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';

export type Process = {
  readonly pid: number;
  readonly parent: number;
  /** The kernel's letter; `Z` has ended and waits for its parent to look. */
  readonly state: string;
  /** Together with `pid` the name of one process for ever. */
  readonly startTicks: string;
  /** Words of the command line, joined by spaces. */
  readonly command: string;
};

function readProcess(pid: number): Process | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in brackets may hold spaces and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return { pid, parent: Number(fields[1]), state: fields[0]!, startTicks: fields[19]!, command };
  } catch {
    return null; // it ended meanwhile
  }
}

export function allProcesses(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

/** Everything below `pid`, itself left out. */
export function descendantsOf(pid: number): Process[] {
  const all = allProcesses();
  const found: Process[] = [];
  const parents = new Set([pid]);
  for (let before = -1; before !== found.length; ) {
    before = found.length;
    for (const one of all) {
      if (parents.has(one.pid) || !parents.has(one.parent)) continue;
      parents.add(one.pid);
      found.push(one);
    }
  }
  return found;
}

export function isSame(process: Process): boolean {
  const now = readProcess(process.pid);
  return now !== null && now.startTicks === process.startTicks;
}

/** Alive processes that name the folder: in their command line, environment or working folder. */
export function processesNaming(folder: string): Process[] {
  return allProcesses().filter(({ pid, command, state }) => {
    if (state === 'Z' || pid === process.pid) return false;
    if (command.includes(folder)) return true;
    try {
      return (
        readFileSync(`/proc/${pid}/environ`, 'utf8').includes(folder) ||
        readlinkSync(`/proc/${pid}/cwd`).startsWith(folder)
      );
    } catch {
      return false;
    }
  });
}

/** Unix sockets below the folder that somebody holds open. */
export function unixSocketsBelow(folder: string): string[] {
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/)[7] ?? '')
    .filter((path) => path.startsWith(folder));
}

/** Whether anything accepts connections there. */
export function somebodyListens(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export type Part = 'control' | 'supervisor' | 'token-service' | 'postgres' | 'runner';
const MARKS: Readonly<Record<Exclude<Part, 'postgres'>, RegExp>> = {
  control: /control\/(bin|dist)\/control\.(ts|mjs)/,
  supervisor: /supervisor\/(bin|dist)\/supervisor\.(ts|mjs)/,
  'token-service': /token-sign\/(bin|dist)\/token-service\.(ts|mjs)/,
  runner: /sdk\/\w+\/runner\.(cjs|ts)/,
};

/**
 * Processes of one kind below a standalone. Of a runner the process that holds the user's code, not what wraps it; of
 * PostgreSQL the postmaster.
 */
export function partsBelow(standalonePid: number, part: Part): Process[] {
  const all = descendantsOf(standalonePid).filter((one) => one.state !== 'Z');
  if (part === 'postgres') return all.filter((one) => /(^|\/)postgres\S* .*-D /.test(one.command));
  const named = all.filter((one) => MARKS[part].test(one.command));
  const parents = new Set(named.map((one) => one.parent));
  return named.filter((one) => !parents.has(one.pid));
}

/** SIGKILL. @returns false when it was gone already */
export function kill9(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}
