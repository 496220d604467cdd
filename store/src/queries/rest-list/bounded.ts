import { AppError } from '@airlock/contract/errors';
import { type Database, type Sql, sql } from '../../database.ts';

/** PostgreSQL's query_canceled, which is what a statement that outlives `statement_timeout` ends with. */
const CANCELED = '57014';

/**
 * Rows of one statement that PostgreSQL itself stops after `limitMs`: for filters whose cost is up to the caller. Not prepared,
 * since such statements come in many shapes. Locks nothing. @throws SEARCH_TOO_LONG
 */
export async function boundedQuery<Row>(db: Database, statement: Sql, limitMs: number): Promise<Row[]> {
  try {
    return await db.transaction(async (tx) => {
      await tx.query(sql`SELECT set_config('statement_timeout', ${String(limitMs)}, true)`);
      return tx.query<Row>(statement);
    });
  } catch (error) {
    if ((error as { code?: unknown }).code !== CANCELED) throw error;
    throw new AppError('SEARCH_TOO_LONG', {
      public: `The search was stopped after ${limitMs / 1000} seconds.`,
      cause: error,
    });
  }
}
