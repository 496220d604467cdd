/** The database as a process sees it that dies between two of its statements: its connection breaks, and it says nothing any more. */
import { AppError } from '@airlock/contract/errors';
import { type Database, type Db, sql } from '@airlock/store';

export type MortalDatabase = Database & {
  /** Death comes before the statement after next `statements` ones; before and after a commit count as one each. */
  readonly dieAfter: (statements: number) => void;
  readonly isDead: () => boolean;
};

/** @param inner its connections are broken as kill -9 breaks them: what was not committed is rolled back by the server */
export function mortalDatabase(inner: Database): MortalDatabase {
  let left = Number.POSITIVE_INFINITY;
  let dead = false;
  const live = async (kill?: () => Promise<unknown>): Promise<void> => {
    if (!dead && left-- > 0) return;
    dead = true;
    await kill?.();
    throw new AppError('DB_UNAVAILABLE', { public: 'This process is dead.' });
  };
  return {
    ...inner,
    query: async (statement, name) => {
      await live();
      return await inner.query(statement, name);
    },
    transaction: async (work) => {
      await live();
      const result = await inner.transaction(async (tx: Db) => {
        const kill = () => tx.query(sql`SELECT pg_terminate_backend(pg_backend_pid())`);
        const value = await work({
          query: async (statement, name) => {
            await live(kill);
            return await tx.query(statement, name);
          },
        });
        await live(kill);
        return value;
      });
      await live();
      return result;
    },
    dieAfter: (statements) => {
      left = statements;
    },
    isDead: () => dead,
  };
}
