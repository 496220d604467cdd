/** What is on the disk: our packages, their sources, and what a specifier in a file resolves to. */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { ResolverFactory } from 'oxc-resolver';
import type { ZoneTable } from './table.ts';

export type Manifest = {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
};
export type Resolved =
  | { readonly kind: 'builtin'; readonly name: string }
  /** A file of a package of ours; `path` is relative to the root. */
  | { readonly kind: 'ours'; readonly package: string; readonly path: string }
  | { readonly kind: 'npm'; readonly package: string; readonly path: string }
  | { readonly kind: 'missing'; readonly why: string };

const BUILTINS = new Set(builtinModules.map((name) => name.replace(/^node:/, '')));
/** Not sources: installed, data, and what is made from sources that are checked themselves. */
const SKIPPED_FOLDERS = new Set(['node_modules', 'data', 'dist']);
const SOURCE = /\.(?:ts|mts|cts|js|mjs|cjs)$/;

/** True for files that only tests load; they may import anything and are loaded by no process. */
export function isTestFile(path: string): boolean {
  return /\.test(?:-d)?\.ts$/.test(path) || path.split('/').includes('test');
}

/** Source files below `folder`, relative to `root`, sorted. Extensionless files of a `bin` folder count. */
export function listSources(root: string, folder: string): string[] {
  const found: string[] = [];
  const visit = (path: string) => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      const inner = `${path}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.has(entry.name)) visit(inner);
      } else if (SOURCE.test(entry.name) || (path.endsWith('/bin') && !entry.name.includes('.'))) found.push(inner);
    }
  };
  if (existsSync(join(root, folder))) visit(folder);
  return found.sort();
}

export function readManifest(root: string, folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;
}

/** Name of the npm package that a file below `node_modules` belongs to. */
function npmPackageOf(path: string): string {
  const tail = path.slice(path.lastIndexOf(`node_modules${sep}`) + 'node_modules/'.length).split(sep);
  return tail[0]!.startsWith('@') ? `${tail[0]}/${tail[1]}` : tail[0]!;
}

/** Resolves as Node does: exports maps, conditions, links resolved to the real file. */
export function createResolver(
  root: string,
  table: ZoneTable,
): (fromFile: string, specifier: string, kind: 'import' | 'require') => Resolved {
  const extensions = { extensions: ['.js', '.json', '.node'], symlinks: true };
  const importer = new ResolverFactory({ ...extensions, conditionNames: ['node', 'import', 'module-sync', 'default'] });
  const requirer = new ResolverFactory({
    ...extensions,
    conditionNames: ['node', 'require', 'module-sync', 'default'],
  });
  const realRoot = realpathSync(root);
  return (fromFile, specifier, kind) => {
    const bare = specifier.replace(/^node:/, '');
    if (specifier.startsWith('node:') || BUILTINS.has(bare)) {
      return BUILTINS.has(bare) || existsAsBuiltin(specifier)
        ? { kind: 'builtin', name: `node:${bare}` }
        : { kind: 'missing', why: `no builtin of this name` };
    }
    const from = dirname(join(realRoot, fromFile));
    const result = (kind === 'import' ? importer : requirer).sync(from, specifier.replace(/[?#].*$/, ''));
    if (result.path === undefined) return { kind: 'missing', why: result.error ?? 'not found' };
    const path = relative(realRoot, realpathSync(result.path)).split(sep).join('/');
    if (path.includes('node_modules/')) return { kind: 'npm', package: npmPackageOf(path), path };
    const owner = Object.keys(table.packages).find((name) => path.startsWith(`${name}/`));
    if (owner === undefined)
      return { kind: 'missing', why: `leads to ${path}, which belongs to no package of the table` };
    return { kind: 'ours', package: owner, path };
  };
}

/** Builtins that exist only with the prefix, such as node:test and node:sqlite. */
function existsAsBuiltin(specifier: string): boolean {
  return ['node:test', 'node:test/reporters', 'node:sqlite', 'node:sea'].includes(specifier);
}

/** `@airlock/store/queries/x` → `store`; null for a name that is not ours. */
export function ourPackageOf(specifier: string): string | null {
  return /^@airlock\/([^/]+)/.exec(specifier)?.[1] ?? null;
}
