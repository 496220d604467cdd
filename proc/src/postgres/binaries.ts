/** The embedded PostgreSQL's programs, as the npm package ships them. */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export type PostgresBinaries = {
  /** Folder with bin/, lib/ and share/. */
  readonly nativeDir: string;
  /** Folder that holds the library links which the package lacks, or null when it has them. */
  readonly linksDir: string | null;
};

type Link = { readonly source: string; readonly target: string };

/**
 * npm packages can hold no symbolic links; this one makes those of its libraries in a postinstall script, which does not run
 * everywhere (`--ignore-scripts`, read-only installs). Then they are made in `scratchDir`, for LD_LIBRARY_PATH.
 * The package itself is never written to: it may belong to somebody else.
 */
export function preparePostgres(nativeDir: string, scratchDir: string): PostgresBinaries {
  const list = JSON.parse(readFileSync(join(nativeDir, 'pg-symlinks.json'), 'utf8')) as readonly Link[];
  const packageDir = dirname(nativeDir);
  const missing = list.filter(({ target }) => !existsSync(join(packageDir, target)));
  if (missing.length === 0) return { nativeDir, linksDir: null };
  mkdirSync(scratchDir, { recursive: true, mode: 0o755 });
  for (const { source, target } of missing) {
    const link = join(scratchDir, basename(target));
    rmSync(link, { force: true });
    symlinkSync(join(packageDir, source), link);
  }
  return { nativeDir, linksDir: scratchDir };
}
