/**
 * The programs that standalone starts. Each service is bundled into one file when its sources have changed, since Node loads one
 * file in half the processor time of six hundred; where that can't be written, the sources themselves are the programs.
 * @see docs/decisions/0026-services-start-from-one-file.md
 */
import { join } from 'node:path';
import { runScript } from '@airlock/proc/run-script';
import { hasStamp, sourceStamp } from '@airlock/proc/source-stamp';
import type { Log } from './log.ts';

const root = join(import.meta.dirname, '../..');

export const ENTRIES = {
  tokenService: join(root, 'token-sign/bin/token-service.ts'),
  control: join(root, 'control/bin/control.ts'),
  supervisor: join(root, 'supervisor/bin/supervisor.ts'),
  migrate: join(root, 'store/bin/migrate.ts'),
  cli: join(root, 'cli/src/main.ts'),
} as const;
export type Entries = Readonly<Record<Exclude<keyof typeof ENTRIES, 'cli'>, string>>;

export const MIGRATIONS_DIRS: readonly string[] = [join(root, 'store/migrations'), join(root, 'store/grants')];
export const EXAMPLES_DIR: string = join(root, 'examples');

/** Beside the sources, for the same people to write: a service may not, and its packages are found from there. */
const BUNDLES = {
  tokenService: join(root, 'token-sign/dist/token-service.mjs'),
  control: join(root, 'control/dist/control.mjs'),
  supervisor: join(root, 'supervisor/dist/supervisor.mjs'),
} as const;
const STAMP = join(root, 'standalone/dist/stamp');
export const BUNDLER: string = join(root, 'sdk/bin/bundle-services.ts');
const SOURCE_FOLDERS = [
  'contract/src',
  'control/bin',
  'control/src',
  'proc/src',
  'secret-backends/src',
  'store/src',
  'supervisor/bin',
  'supervisor/src',
  'token-sign/bin',
  'token-sign/src',
  'token-verify/src',
].map((folder) => join(root, folder));
const BUNDLE_TIMEOUT_MS = 60_000;

/**
 * The programs, up to date. Never throws: at worst they start more slowly.
 * @param place where the stamp is kept, and what makes the bundles, for tests
 */
export async function currentEntries(
  log: Pick<Log, 'say'>,
  place: { readonly stamp?: string; readonly bundler?: string } = {},
): Promise<Entries> {
  const { stamp: stampFile = STAMP, bundler = BUNDLER } = place;
  // The lock file stands for all packages of others.
  const stamp = sourceStamp(SOURCE_FOLDERS, [BUNDLER, join(root, 'package-lock.json')]);
  if (!hasStamp(stampFile, stamp)) {
    const names = Object.keys(BUNDLES) as Array<keyof typeof BUNDLES>;
    const pairs = names.flatMap((name) => [ENTRIES[name], BUNDLES[name]]);
    const run = await runScript(bundler, [stampFile, stamp, ...pairs], BUNDLE_TIMEOUT_MS);
    if (run.code !== 0) {
      log.say('warning', `the services could not be bundled, and start more slowly: ${run.output}`);
      return ENTRIES;
    }
  }
  return { ...ENTRIES, ...BUNDLES };
}
