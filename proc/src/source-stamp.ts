/** Whether what was made from sources is still theirs. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Names the state of all TypeScript sources below `folders`, and of Node: paths, sizes and times; no contents, so that it costs
 * milliseconds. `files` that do not exist count too. @throws when a folder can't be read
 */
export function sourceStamp(folders: readonly string[], files: readonly string[] = []): string {
  const hash = createHash('sha256').update(process.version);
  const add = (name: string, path: string) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    hash.update(`${name}:${stat?.size}:${stat?.mtimeMs}\n`);
  };
  for (const folder of folders) {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
      if (name.endsWith('.ts') && !name.endsWith('.test.ts')) add(name, join(folder, name));
    }
  }
  for (const file of files) add(file, file);
  return hash.digest('hex');
}

/** Whether the stamp that was written last, when all was whole, is this one. */
export function hasStamp(file: string, stamp: string): boolean {
  try {
    return readFileSync(file, 'utf8') === stamp;
  } catch {
    return false;
  }
}
