/**
 * Opens files beneath a fixed root without following a symbolic link anywhere on the way: each folder is opened by itself
 * and the next name is looked up in the opened folder, through /proc/self/fd, which is how Node can say openat(2).
 * @see promise L27
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;
const FOLDER_MODE = 0o750;
const FILE_MODE = 0o640;

/** Folder names and a file name; the caller has made them harmless. */
export type Parts = readonly string[];

function checkPart(name: string): void {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new TypeError('not a plain file name');
  }
}

/**
 * @param create make missing folders and the file.
 * @returns null when something is missing and `create` is false.
 * @throws ELOOP or ENOTDIR when a link stands on the way
 */
export async function openBeneath(root: string, parts: Parts, create: boolean): Promise<FileHandle | null> {
  parts.forEach(checkPart);
  const folders = parts.slice(0, -1);
  const held: FileHandle[] = [];
  try {
    held.push(await openRoot(root, create));
    for (const name of folders) held.push(await openFolder(held.at(-1)!, name, create));
    const flags = O_NOFOLLOW | (create ? O_RDWR | O_CREAT : O_RDONLY);
    return await open(inside(held.at(-1)!, parts.at(-1)!), flags, FILE_MODE);
  } catch (error) {
    if (!create && (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  } finally {
    await Promise.all(held.map((handle) => handle.close()));
  }
}

const inside = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

async function openRoot(root: string, create: boolean): Promise<FileHandle> {
  if (create) await mkdir(root, { recursive: true, mode: FOLDER_MODE });
  return await open(root, O_RDONLY | O_DIRECTORY);
}

async function openFolder(parent: FileHandle, name: string, create: boolean): Promise<FileHandle> {
  const path = inside(parent, name);
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  try {
    return await open(path, flags);
  } catch (error) {
    if (!create || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(path, { mode: FOLDER_MODE }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error; // another append of the same try
  });
  return await open(path, flags);
}
