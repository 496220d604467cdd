/** Says when something in a folder tree may have changed: by the kernel's notice where there is one, and by time anyway. */
import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';

/** Quiet time after a notice: editors write a file in several steps. */
const DEBOUNCE_MS = 20;
/** Longest wait while notices keep coming. */
const MAX_WAIT_MS = 200;
/** For file systems without notices, and for notices that were lost. */
const POLL_MS = 5_000;
const MAX_WATCHED_FOLDERS = 2_000;

export type TreeWatch = {
  /** Watches exactly these folders (relative to the root) from now on. */
  setFolders(folders: readonly string[]): void;
  close(): void;
};

/** @param onChange called after a notice has settled, and each 5 s. Never called twice at once for one notice. */
export function watchTree(root: string, onChange: (noticed: boolean) => void): TreeWatch {
  const watchers = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | null = null;
  let firstNoticeAt = 0;
  const poll = setInterval(() => onChange(false), POLL_MS);

  const notice = () => {
    const now = performance.now();
    if (timer === null) firstNoticeAt = now;
    else clearTimeout(timer);
    const wait = Math.max(0, Math.min(DEBOUNCE_MS, firstNoticeAt + MAX_WAIT_MS - now));
    timer = setTimeout(() => {
      timer = null;
      onChange(true);
    }, wait);
  };
  const open = (folder: string) => {
    try {
      const watcher = watch(join(root, folder), { persistent: false }, notice);
      watcher.on('error', () => {
        watcher.close();
        watchers.delete(folder);
      });
      watchers.set(folder, watcher);
    } catch {
      // Gone again, or no more watches: polling sees the change.
    }
  };
  return {
    setFolders(folders) {
      const wanted = new Set(folders.slice(0, MAX_WATCHED_FOLDERS));
      for (const [folder, watcher] of watchers) {
        if (wanted.has(folder)) continue;
        watcher.close();
        watchers.delete(folder);
      }
      for (const folder of wanted) if (!watchers.has(folder)) open(folder);
    },
    close() {
      clearInterval(poll);
      if (timer !== null) clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}
