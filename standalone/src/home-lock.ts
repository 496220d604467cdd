/** One standalone per data folder, and what a killed one left behind. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import { type FileLock, lockFile } from '@airlock/proc/file-lock';

type Note = {
  readonly pid: number;
  readonly children: ReadonlyArray<{ readonly pid: number; readonly started: string }>;
};

export type HomeLock = {
  /** Writes down who runs for us, so that the next start can wait for them if we are killed. */
  readonly record: (pids: readonly number[]) => void;
  readonly release: () => void;
};

/** Start time of a process in the kernel's ticks: with the pid it names one process for ever. */
function startedAt(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function readNote(text: string | null): Note | null {
  try {
    const note = JSON.parse(text ?? '') as Note;
    return Number.isInteger(note.pid) && Array.isArray(note.children) ? note : null;
  } catch {
    return null;
  }
}

/**
 * Takes the folder. After a killed standalone it waits for its processes, which stop by themselves when their parent is
 * gone, and kills what is left after `patienceMs`.
 * @throws HOME_IN_USE naming the holder's process id · HOME_UNWRITABLE
 */
export async function takeHome(path: string, home: string, patienceMs: number): Promise<HomeLock> {
  let lock: FileLock | { readonly heldBy: string };
  try {
    lock = lockFile(path);
  } catch (cause) {
    throw new AppError('HOME_UNWRITABLE', {
      public: `The file ${path} can't be written: ${(cause as Error).message}.`,
      cause,
    });
  }
  if ('heldBy' in lock) {
    const pid = readNote(lock.heldBy)?.pid;
    throw new AppError('HOME_IN_USE', {
      public: `Another standalone${pid ? ` (process ${pid})` : ''} uses the data folder ${home}.`,
    });
  }
  const held = lock;
  const record = (pids: readonly number[]) => {
    const children = pids.flatMap((pid) => {
      const started = startedAt(pid);
      return started === null ? [] : [{ pid, started }];
    });
    try {
      held.note(JSON.stringify({ pid: process.pid, children } satisfies Note));
    } catch {
      // A full disk: the lock itself holds, only what the next start would know after a kill is missing.
    }
  };
  await outlast(readNote(held.left)?.children ?? [], patienceMs);
  record([]);
  return { record, release: held.release };
}

async function outlast(children: Note['children'], patienceMs: number): Promise<void> {
  const alive = () => children.filter(({ pid, started }) => startedAt(pid) === started);
  const deadline = performance.now() + patienceMs;
  for (let killed = false; alive().length > 0; ) {
    if (!killed && performance.now() > deadline) {
      killed = true;
      for (const { pid } of alive()) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Gone in this moment, or not ours any more.
        }
      }
    }
    if (performance.now() > deadline + 2000) return;
    await sleep(10);
  }
}
