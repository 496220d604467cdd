/** The rules as data: zones.jsonc, read strictly, so that a misspelt key is an error and not a rule that never fires. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseJsonc } from './jsonc.ts';

export type PackageRule = {
  /** Our packages that its sources may import, besides itself. */
  readonly imports: readonly string[];
  /** Third-party packages that package.json may declare and its sources may import. */
  readonly npm: readonly string[];
  /** Declared for development only: types. */
  readonly npmTypes: readonly string[];
  /** Builtins of Node, with the `node:` prefix. */
  readonly builtins: readonly string[];
  /** Powers that come without an import: see GLOBAL_POWERS in facts.ts. */
  readonly globals: readonly string[];
  /** The keys of the exports map, as they stand in package.json. */
  readonly exports: readonly string[];
};
/** A narrower rule for part of a package; absent key = as the package. */
export type FolderRule = {
  readonly path: string;
  readonly why: string;
  /** Our packages that may be imported. */
  readonly imports?: readonly string[];
  readonly npm?: readonly string[];
  readonly builtins?: readonly string[];
  readonly globals?: readonly string[];
  /** Files (prefixes, from the root) that it may never import directly. */
  readonly neverImports?: readonly string[];
  /** For a package: only these of its modules may be imported from here. */
  readonly only?: Readonly<Record<string, readonly string[]>>;
};
export type ProcessRule = {
  readonly process: string;
  readonly entry: string;
  /** Packages of ours, `npm:name`, `node:name`, `file:path`, or a global power, that the closure may never hold. */
  readonly never: readonly string[];
  /** Entries of other processes that this one may start. */
  readonly spawns: readonly string[];
};
export type Exception = {
  /** File of ours, from the root. */
  readonly file: string;
  /** What it is excused from, exactly as the check words it between quotes. */
  readonly of: string;
  /** Number of the decision record that says why. */
  readonly decision: number;
};
export type ThirdPartyException = { readonly package: string; readonly of: string; readonly why: string };
export type ZoneTable = {
  readonly packages: Readonly<Record<string, PackageRule>>;
  readonly folders: readonly FolderRule[];
  readonly processes: readonly ProcessRule[];
  readonly exceptions: readonly Exception[];
  /** May only shrink: a longer list is refused. */
  readonly maxExceptions: number;
  readonly thirdParty: readonly ThirdPartyException[];
  /** Packages whose files are read only as far as their own entry, with the reason. */
  readonly unresolved: readonly ThirdPartyException[];
};

type Shape = Readonly<Record<string, 'string' | 'number' | 'list' | 'record' | 'optional-list' | 'optional-record'>>;

function checkShape(value: unknown, shape: Shape, where: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SyntaxError(`${where}: not an object`);
  const entries = value as Record<string, unknown>;
  for (const key of Object.keys(entries)) if (!(key in shape)) throw new SyntaxError(`${where}: unknown key ${key}`);
  for (const [key, kind] of Object.entries(shape)) {
    const found = entries[key];
    if (found === undefined && kind.startsWith('optional-')) continue;
    const fits = kind.endsWith('list')
      ? Array.isArray(found) && found.every((item) => typeof item === 'string')
      : kind.endsWith('record')
        ? typeof found === 'object' && found !== null && !Array.isArray(found)
        : typeof found === kind;
    if (!fits) throw new SyntaxError(`${where}: ${key} is missing or no ${kind.replace('optional-', '')}`);
  }
}

const PACKAGE_SHAPE: Shape = {
  imports: 'list',
  npm: 'list',
  npmTypes: 'list',
  builtins: 'list',
  globals: 'list',
  exports: 'list',
};
const FOLDER_SHAPE: Shape = {
  path: 'string',
  why: 'string',
  imports: 'optional-list',
  npm: 'optional-list',
  builtins: 'optional-list',
  globals: 'optional-list',
  neverImports: 'optional-list',
  only: 'optional-record',
};
const PROCESS_SHAPE: Shape = { process: 'string', entry: 'string', never: 'list', spawns: 'list' };
const TOP_LISTS = ['folders', 'processes', 'exceptions', 'thirdParty', 'unresolved'] as const;

/** @param root folder that holds tools/zones/zones.jsonc. @throws SyntaxError with the place of the first mistake */
export function readTable(root: string): ZoneTable {
  const table = parseJsonc(readFileSync(join(root, 'tools/zones/zones.jsonc'), 'utf8')) as Record<string, unknown>;
  for (const key of Object.keys(table)) {
    if (![...TOP_LISTS, 'packages', 'maxExceptions'].includes(key))
      throw new SyntaxError(`zones.jsonc: unknown key ${key}`);
  }
  for (const key of TOP_LISTS)
    if (!Array.isArray(table[key])) throw new SyntaxError(`zones.jsonc: ${key} is missing or no list`);
  if (typeof table.maxExceptions !== 'number') throw new SyntaxError('zones.jsonc: maxExceptions is missing');
  for (const [name, rule] of Object.entries(table.packages as object))
    checkShape(rule, PACKAGE_SHAPE, `package ${name}`);
  const each = (key: string, shape: Shape) => {
    for (const [i, rule] of (table[key] as unknown[]).entries()) checkShape(rule, shape, `${key}[${i}]`);
  };
  each('folders', FOLDER_SHAPE);
  each('processes', PROCESS_SHAPE);
  each('exceptions', { file: 'string', of: 'string', decision: 'number' });
  each('thirdParty', { package: 'string', of: 'string', why: 'string' });
  each('unresolved', { package: 'string', of: 'string', why: 'string' });
  return table as unknown as ZoneTable;
}
