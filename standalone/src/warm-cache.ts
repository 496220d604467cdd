/**
 * Bundles the services and fills their compile caches, so that even the first start of a fresh clone is a warm one. Each service has a
 * cache of its own (see layout.ts); it is started once, and told to stop before it is told anything else.
 */
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { loadConfig } from '@airlock/proc/config-load';
import { spawnNode } from '@airlock/proc/node-child';
import { currentEntries, type Entries } from './entries.ts';
import { type Account, type CachedService, layoutOf, programPaths } from './layout.ts';

const NAME_OF: Readonly<Record<CachedService, keyof Entries>> = {
  'token-service': 'tokenService',
  control: 'control',
  supervisor: 'supervisor',
  migrate: 'migrate',
};
/** Far more than loading takes; then the service is started cold one day, and that is all. */
const LONGEST_MS = 30_000;

/** @returns milliseconds that it took. A failure costs only a slower first start, so it is not thrown. */
export async function warmCaches(): Promise<number> {
  const began = performance.now();
  // Any home: only the user ids and the place of the caches are read from the layout.
  const { config } = loadConfig({ AIRLOCK_HOME: '/nonexistent' }, 'standalone');
  const layout = layoutOf('/nonexistent', config);
  const accounts: Partial<Record<CachedService, Account>> = {
    control: layout.accounts?.control,
    'token-service': layout.accounts?.tokenService,
  };
  const cacheRoot = dirname(layout.cacheDir('migrate'));
  mkdirSync(cacheRoot, { recursive: true });
  if (layout.accounts) chmodSync(cacheRoot, 0o711);
  const entries = await currentEntries({ say: () => undefined });
  for (const service of Object.keys(NAME_OF) as CachedService[]) {
    const folder = layout.cacheDir(service);
    const account = accounts[service];
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (account) chownSync(folder, account.uid, account.gid);
    const child = spawnNode({
      entry: entries[NAME_OF[service]],
      env: { PATH: '/usr/bin:/bin', NODE_COMPILE_CACHE: folder },
      // Node keeps what it compiled under the user id that it had then.
      runAs: account ? { ...account, paths: [...programPaths(), { path: folder, writable: true }] } : null,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      onLine: () => undefined,
    });
    // Told to stop before it was given anything, a process has loaded all its code and done nothing with it.
    await child.stop(LONGEST_MS);
  }
  return performance.now() - began;
}
