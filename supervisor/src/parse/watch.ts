/** Says when something in a folder tree may have changed: by the kernel's notice where there is one, and by time anyway. */
import { type FSWatcher, statSync, watch } from 'node:fs';
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
  const watchers = new Map<string, { readonly watcher: FSWatcher; readonly identity: string | null }>();
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
  const close = (folder: string) => {
    watchers.get(folder)?.watcher.close();
    watchers.delete(folder);
  };
  const open = (folder: string) => {
    try {
      const path = join(root, folder);
      const watcher = watch(path, { persistent: false }, notice);
      watcher.on('error', () => close(folder));
      watchers.set(folder, { watcher, identity: identityOf(path) });
    } catch {
      // Gone again, or no more watches: polling sees the change.
    }
  };
  return {
    setFolders(folders) {
      const wanted = new Set(folders.slice(0, MAX_WATCHED_FOLDERS));
      for (const [folder, { identity }] of watchers) {
        // One that was removed and made again: the kernel watches the old one.
        if (!wanted.has(folder) || identityOf(join(root, folder)) !== identity) close(folder);
      }
      for (const folder of wanted) if (!watchers.has(folder)) open(folder);
    },
    close() {
      clearInterval(poll);
      if (timer !== null) clearTimeout(timer);
      for (const folder of [...watchers.keys()]) close(folder);
    },
  };
}

/** Of the folder itself, whatever is in it. File systems give the number of a removed folder to the next one, so its birth counts too. */
function identityOf(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.dev}:${stat.ino}:${stat.birthtimeMs}`;
}
