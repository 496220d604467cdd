/** Folders for Dag files and repositories, gone after the tests of a file. */
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new one that other user ids may read. */
export function newFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'airlock-dags-')));
  chmodSync(folder, 0o755);
  folders.push(folder);
  return folder;
}

export function write(root: string, name: string, text: string | Buffer): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
}
