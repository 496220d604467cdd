/**
 * Which folders a child must see to import a workspace package: the package itself, and by its package.json its
 * dependencies, found the way Node finds them, as real paths. Works for npm's linked, hoisted and nested layouts.
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

type Manifest = {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};

function findPackage(name: string, from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate);
    if (folder === dirname(folder)) return null;
  }
}

/** The folder to show for a package: in a linked store the whole entry, which holds the links to its dependencies. */
function shownFolder(packageFolder: string): string {
  const match = /^(.*\/node_modules\/\.store\/.+?\/node_modules)\//.exec(`${packageFolder}/`);
  return match?.[1] ?? packageFolder;
}

/** Absolute real paths, each once, in a stable order. Optional dependencies that are not installed are left out. */
export function packageClosure(packages: readonly string[]): readonly string[] {
  const shown = new Set<string>();
  const seen = new Set<string>();
  const visit = (folder: string) => {
    if (seen.has(folder)) return;
    seen.add(folder);
    shown.add(shownFolder(folder));
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
    for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
      const found = findPackage(name, folder);
      if (found !== null) visit(found);
    }
  };
  for (const folder of packages) visit(realpathSync(folder));
  return [...shown].sort();
}
