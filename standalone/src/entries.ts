/** The programs that standalone starts. */
import { join } from 'node:path';

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
