/** Whose processes PostgreSQL's are. It refuses root, and tasks must not share its user id where we can avoid it. */
import { chownSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type EnterSpec, enterPrefix, findProgram, mountNamespaceWorks, type ShownPath } from '../enter.ts';
import type { PostgresBinaries } from './binaries.ts';

export type PostgresAccount = { readonly uid: number; readonly gid: number };

/** `nobody`, present everywhere: for hosts where initdb can not be shown a name for a user id of our own. */
const NOBODY: PostgresAccount = { uid: 65_534, gid: 65_534 };

/** The user id for PostgreSQL when we are root: `wanted` where the host lets us, else `nobody`; null when we are not root. */
export function postgresAccount(wanted: number): PostgresAccount | null {
  if (process.getuid?.() !== 0) return null;
  return mountNamespaceWorks() ? { uid: wanted, gid: wanted } : NOBODY;
}

/** The words to put before one of PostgreSQL's programs. `folders` are those that it writes to. */
export function postgresPrefix(
  account: PostgresAccount | null,
  binaries: PostgresBinaries,
  folders: readonly string[],
  options: { readonly passwdFile?: string; readonly deathSignal: EnterSpec['deathSignal'] },
): string[] {
  if (!account) {
    // Without setpriv a postmaster outlives us when we are killed; the next start finds and stops it.
    const setpriv = findProgram('setpriv');
    const drop = setpriv ? [setpriv, '--no-new-privs', `--pdeathsig=${options.deathSignal}`, '--'] : [];
    return options.passwdFile === undefined ? drop : [...borrowedName(), ...drop];
  }
  const paths: ShownPath[] = [
    { path: binaries.nativeDir, writable: false },
    ...folders.map((path) => ({ path, writable: true })),
  ];
  if (binaries.linksDir) paths.push({ path: binaries.linksDir, writable: false });
  const passwdFile = account.uid === NOBODY.uid ? undefined : options.passwdFile;
  return enterPrefix({ ...account, paths, passwdFile, deathSignal: options.deathSignal });
}

/**
 * initdb insists on a name for its user id, and a container may run us under one that has none. In a user namespace our id
 * can look like that of `nobody`; the files are ours all the same.
 */
function borrowedName(): string[] {
  try {
    userInfo();
    return [];
  } catch {
    const unshare = findProgram('unshare');
    return unshare ? [unshare, '--user', `--map-user=${NOBODY.uid}`, `--map-group=${NOBODY.gid}`, '--'] : [];
  }
}

/** Writes the one-line account file that initdb needs for a user id that the host does not know. */
export function writePasswdFile(path: string, account: PostgresAccount): void {
  writeFileSync(path, `airlock-postgres:x:${account.uid}:${account.gid}::/:/bin/false\n`, { mode: 0o644 });
}

/** Gives a file or folder to the account; nothing to do when we are not root. */
export function give(path: string, account: PostgresAccount | null): void {
  if (account) chownSync(path, account.uid, account.gid);
}
