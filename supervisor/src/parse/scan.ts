/**
 * Which files of a bundle are parsed. Every `*.py` is, as in Airflow, also at the top of a `*.zip`, and every `*.ts` but for declarations, tests, names that start with a dot or an
 * underscore, what lies in `node_modules` or a folder whose name starts with a dot, and what `.airflowignore` names. Symbolic links are not followed.
 */
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ARCHIVE_LIMITS, Archives, isArchiveName } from './archive.ts';
import { type IgnoreSyntax, isIgnored, NO_RULES, newEffort, type Rules, rulesOf } from './ignore.ts';

export type Scan = {
  /** Files to parse, relative with `/`, sorted. Of an archive its modules; itself where it can't be used, for its error to be said. */
  readonly files: readonly string[];
  /** Folders that were read, relative; the root is `''`. */
  readonly folders: readonly string[];
  /** True when there was more than the bounds allow; the rest was left out. */
  readonly cut: boolean;
  /** Lines of `.airflowignore` files that are no pattern, `file:line`. */
  readonly badRules: readonly string[];
};

const MAX_FILES = 20_000;
const MAX_FOLDERS = 5_000;
const MAX_DEPTH = 20;

export function isPython(name: string): boolean {
  return name.endsWith('.py') || isArchiveName(name);
}

/** True for a file name (without folder) that is parsed. */
export function isParsedName(name: string): boolean {
  return isPython(name) || (name.endsWith('.ts') && !/^[._]|\.d\.ts$|\.(?:test|spec|test-d)\.ts$/.test(name));
}

function isReadFolder(name: string): boolean {
  return name !== 'node_modules' && !name.startsWith('.');
}

/**
 * Reads the folder tree. A folder that vanishes or can't be read counts as empty.
 * @param archives what an earlier look at the same folder knows of its archives
 * @returns null when that is the root: a folder that is not mounted must not look like one from which all was deleted
 */
export function scanBundle(
  root: string,
  syntax: IgnoreSyntax = 'glob',
  archives: Archives = new Archives(root),
): Scan | null {
  if (!isReadable(root)) return null;
  const files: string[] = [];
  const folders: string[] = [];
  const badRules: string[] = [];
  const effort = newEffort();
  let entries = 0;
  let cut = false;
  archives.nextLook();
  const add = (path: string) => {
    if (files.length < MAX_FILES) files.push(path);
    else cut = true;
  };
  const addArchive = (path: string) => {
    if (entries > ARCHIVE_LIMITS.bundleEntries) {
      cut = true;
      return;
    }
    const listing = archives.list(path);
    // One that is none counts as well: it has been read.
    entries += listing !== null && 'modules' in listing ? listing.entries + 100 : 100;
    if (listing === null) return;
    if ('refused' in listing) add(path);
    else for (const module of listing.modules) add(`${path}/${module}`);
  };
  const visit = (folder: string, depth: number, parents: Rules) => {
    if (folders.length >= MAX_FOLDERS || depth > MAX_DEPTH) {
      cut = true;
      return;
    }
    folders.push(folder);
    const rules = rulesOf(root, folder, parents, syntax, (file, line) => badRules.push(`${file}:${line}`));
    for (const entry of entriesOf(join(root, folder))) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      const isFolder = entry.isDirectory();
      if (!(isFolder ? isReadFolder(entry.name) : entry.isFile() && isParsedName(entry.name))) continue;
      const ignored = isIgnored(path, isFolder, rules, effort);
      if (ignored === true) continue;
      if (ignored === null) cut = true;
      else if (isFolder) visit(path, depth + 1, rules);
      else if (isArchiveName(path)) addArchive(path);
      else add(path);
    }
  };
  visit('', 0, NO_RULES);
  return { files: files.sort(), folders, cut, badRules };
}

function isReadable(folder: string): boolean {
  try {
    readdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** The `node_modules` folders that Node would search from the bundle root upwards, and that exist. */
export function packageFolders(root: string): readonly string[] {
  const found: string[] = [];
  for (let folder = root; ; folder = join(folder, '..')) {
    const candidate = join(folder, 'node_modules');
    if (statSync(candidate, { throwIfNoEntry: false })?.isDirectory()) found.push(candidate);
    if (join(folder, '..') === folder) return found;
  }
}
