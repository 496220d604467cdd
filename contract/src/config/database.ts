import { databaseAddress } from '../database-address.ts';
import { int, type OptionMeta, type OptionRow, optionalText } from './options.ts';

/** An address that our driver understands; another database has an error code of its own. @throws DB_DIALECT */
function postgresAddress(meta: OptionMeta): OptionRow<string | null> {
  const row = optionalText(meta);
  return {
    ...row,
    allowed: 'a postgresql:// address, or nothing',
    parse: (text) => {
      const value = row.parse(text);
      if (value !== null) databaseAddress(value);
      return value;
    },
  };
}

export const DATABASE_OPTIONS = {
  sql_alchemy_conn: postgresAddress({
    readers: ['standalone', 'control', 'store'],
    unit: 'URL',
    sensitive: true,
    variable: 'AIRLOCK_DATABASE_URL',
    formerly: ['core.sql_alchemy_conn'],
    advice:
      'A PostgreSQL of yours, 14 or newer, as postgresql://user:password@host/database. Unset: standalone runs its own.',
  }),
  sql_alchemy_pool_size: int(8, {
    readers: ['control'],
    unit: 'count',
    min: 2,
    max: 200,
    advice: 'Connections that a control process holds at most, besides one that listens.',
  }),
};
