/** Without mount namespaces, a child with a user id of its own must be able to walk to its program on the host's tree. */
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { AppError } from '@airlock/contract/errors';

const OTHERS_READ = 0o004;
const OTHERS_ENTER = 0o001;

/** @throws AppError PATH_NOT_ENTERABLE naming the first folder or file that other users can't use */
export function assertEnterable(paths: readonly string[]): void {
  for (const wanted of paths) {
    const path = realpathSync(wanted);
    if ((statSync(path).mode & OTHERS_READ) === 0) refuse(path, wanted);
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      if ((statSync(folder).mode & OTHERS_ENTER) === 0) refuse(folder, wanted);
      if (folder === dirname(folder)) break;
    }
  }
}

function refuse(path: string, wanted: string): never {
  throw new AppError('PATH_NOT_ENTERABLE', {
    public: `A sandboxed process can't reach ${wanted}: other users may not enter ${path}.`,
  });
}
