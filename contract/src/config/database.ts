import { bool, int, optionalText } from './options.ts';

export const DATABASE_OPTIONS = {
  sql_alchemy_conn: optionalText({
    readers: ['standalone', 'control', 'store'],
    unit: 'URL',
    sensitive: true,
    formerly: ['core.sql_alchemy_conn'],
    advice:
      'A PostgreSQL of yours, 14 or newer, as postgresql://user:password@host/database. Unset: standalone runs its own. AIRLOCK_DATABASE_URL means the same.',
  }),
  sql_alchemy_pool_size: int(8, {
    readers: ['control'],
    unit: 'count',
    min: 2,
    max: 200,
    advice: 'Connections that a control process holds at most, besides one that listens.',
  }),
  check_migrations: bool(true, {
    readers: ['control'],
    advice: 'Refuse to start on a schema of another release.',
  }),
};
