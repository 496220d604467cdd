/**
 * The programs that children are started with. Each is bundled into one file when its sources have changed, since Node
 * reads one file four times as fast as thirty; where that can't be written, the sources themselves are the programs.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runScript } from '@airlock/proc/run-script';
import { ENTER_SOURCE } from '@airlock/proc/sandbox/index';
import { hasStamp, sourceStamp } from '@airlock/proc/source-stamp';

export type ChildEntries = {
  readonly runner: string;
  readonly parser: string;
  readonly triggers: string;
  /** What every child loads first, to restrict itself; absent = its sources. */
  readonly enterScript?: string;
};

const SDK = fileURLToPath(new URL('../../sdk', import.meta.url));
const SOURCE_FOLDERS = [
  join(SDK, 'src'),
  join(SDK, 'bin'),
  fileURLToPath(new URL('../../contract/src', import.meta.url)),
  dirname(ENTER_SOURCE),
  join(dirname(ENTER_SOURCE), '../native'),
];
const BUNDLE_TIMEOUT_MS = 20_000;

/** Paths of the programs, up to date. Never throws: at worst they start more slowly. */
export async function childEntries(log: { warn(fields: object, text: string): void }): Promise<ChildEntries> {
  const dist = join(SDK, 'dist');
  const stamp = sourceStamp(SOURCE_FOLDERS);
  if (!hasStamp(join(dist, 'stamp'), stamp)) {
    const run = await runScript(join(SDK, 'bin/bundle.ts'), [stamp, ENTER_SOURCE], BUNDLE_TIMEOUT_MS);
    if (run.code !== 0) {
      log.warn({ output: run.output }, 'the runner could not be bundled into one file; each start takes longer');
      return {
        runner: join(SDK, 'bin/runner.ts'),
        parser: join(SDK, 'bin/parser.ts'),
        triggers: join(SDK, 'bin/triggers.ts'),
      };
    }
  }
  return {
    runner: join(dist, 'runner.cjs'),
    parser: join(dist, 'parser.cjs'),
    triggers: join(dist, 'triggers.cjs'),
    enterScript: join(dist, 'enter.cjs'),
  };
}
