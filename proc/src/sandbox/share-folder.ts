/**
 * Lets every try that is shown a folder write in it, though each has a user id of its own: the folder gets a group that
 * only such tries are given, and new entries inherit it. Only as root; otherwise all tries have our own user id already.
 */
import { chmodSync, chownSync, statSync } from 'node:fs';
import { AppError } from '@airlock/contract/errors';
import { DEFAULT_UIDS, type UidRange } from './uids.ts';

const SET_GROUP_ID = 0o2000;
const GROUP_ALL = 0o070;

/**
 * @param path an existing folder that an operator named in a connection of type `fs`
 * @throws AppError PATH_NOT_ENTERABLE when it is no folder, or is the group's of somebody else
 */
export function shareFolder(path: string, uids: UidRange = DEFAULT_UIDS): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) {
    throw new AppError('PATH_NOT_ENTERABLE', {
      public: `${path} is no folder.`,
      remedy: 'Make the folder, or correct the path in the connection.',
    });
  }
  if (process.getuid?.() !== 0) return;
  // The last id of the range is no child's: it is the group of shared folders.
  const group = uids.first + uids.size - 1;
  const open = (stat.mode & (SET_GROUP_ID | GROUP_ALL)) === (SET_GROUP_ID | GROUP_ALL);
  if (stat.gid === group && open) return;
  if (stat.gid !== 0 && stat.gid !== group) {
    // A folder with a group of its own is the operator's arrangement; its group is given to the try as it is.
    if (open) return;
    throw new AppError('PATH_NOT_ENTERABLE', {
      public: `${path} belongs to group ${stat.gid}, which may not write in it.`,
      remedy: `Allow it (chmod g+rwxs ${path}), or give the folder to root's group.`,
    });
  }
  chownSync(path, stat.uid, group);
  chmodSync(path, (stat.mode & 0o7777) | SET_GROUP_ID | GROUP_ALL);
}
