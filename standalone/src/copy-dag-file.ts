/** Copies one Dag file with the files beside it that it imports, so that a throw-away Airlock sees those and no other. */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { AppError } from '@airlock/contract/errors';

/** Relative specifiers of static and dynamic imports. Only finds files; what they mean is for the parser to say. */
const IMPORTED = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.\.?\/[^'"]+)['"]/g;
const CODE = ['.ts', '.mts', '.js', '.mjs'];
const MAX_FILES = 500;

/** `file` and all that it imports by relative paths, absolute, in the order in which they were met. */
export function withImports(file: string): readonly string[] {
  const found = [file];
  for (const path of found) {
    if (!CODE.includes(extname(path))) continue;
    for (const [, specifier] of readFileSync(path, 'utf8').matchAll(IMPORTED)) {
      const wanted = resolve(dirname(path), specifier!);
      const hit = [wanted, `${wanted}.ts`].find((each) => statSync(each, { throwIfNoEntry: false })?.isFile());
      if (hit && !found.includes(hit) && found.length < MAX_FILES) found.push(hit);
    }
  }
  return found;
}

/**
 * Copies them below `folder`, keeping where they lie to each other.
 * @returns the Dag file's path, relative to `folder`
 * @throws CONFIG_INVALID there is no such file
 */
export function copyDagFile(file: string, folder: string): string {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new AppError('CONFIG_INVALID', { public: `There is no file ${file}.`, remedy: 'Name a Dag file.' });
  }
  const files = withImports(file);
  let root = dirname(file);
  while (files.some((path) => relative(root, path).startsWith('..'))) root = dirname(root);
  for (const path of files) {
    const target = join(folder, relative(root, path));
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    copyFileSync(path, target);
    chmodSync(target, 0o644); // parsers have user ids of their own
  }
  return relative(root, file);
}
