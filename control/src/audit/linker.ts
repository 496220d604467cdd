/**
 * Links the rows of the audit log into its chain. Every control process tries twice a second; the lock of the chain's one row
 * lets one of them at a time. What is visible in one round was committed before what is first visible in the next; rows of
 * one round are linked by id. @see promise L33
 */
import { createHash } from 'node:crypto';
import { linkHash, type Sha256 } from '@airlock/contract/audit-chain';
import { isAppError } from '@airlock/contract/errors';
import type { Database } from '@airlock/store';
import { linkEvents, lockChain, unlinkedEvents } from '@airlock/store/queries/event-log/chain';
import type { ControlDeps } from '../deps.ts';

const ROUND_MS = 400;
const BATCH = 500;

export const sha256: Sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** Links what waits, one batch in each transaction. @returns how many rows were linked */
export async function linkAuditLog(db: Database): Promise<number> {
  let linked = 0;
  for (;;) {
    // Mostly nothing waits, and then no transaction is opened.
    if ((await unlinkedEvents(db, 1)).length === 0) return linked;
    const count = await db.transaction(async (tx) => {
      const ends = await lockChain(tx);
      if (!ends) return 0;
      let { head_seq: seq, head_hash: hash } = ends;
      const links = (await unlinkedEvents(tx, BATCH)).map((row) => {
        seq++;
        hash = linkHash(sha256, hash, seq, row);
        return { id: row.id, seq, hash };
      });
      if (links.length > 0) await linkEvents(tx, links);
      return links.length;
    });
    linked += count;
    if (count === 0) return linked;
  }
}

/** Links until it is stopped. @returns what stops it, after the round in progress */
export function startAuditLinker(deps: Pick<ControlDeps, 'db' | 'log'>): () => Promise<void> {
  const log = deps.log.child({ part: 'audit' });
  let timer: NodeJS.Timeout | undefined;
  let round = Promise.resolve();
  let stopped = false;
  let failing = false;
  const run = async (): Promise<void> => {
    try {
      await linkAuditLog(deps.db);
      failing = false;
    } catch (err) {
      if (!failing) {
        if (isAppError(err, 'DB_UNAVAILABLE'))
          log.warn({ err }, 'the database is unavailable; the audit log waits for it');
        else log.error({ err }, 'the audit log is not linked; it is tried again');
      }
      failing = true;
    }
    if (!stopped) arm();
  };
  const arm = (): void => {
    timer = setTimeout(() => {
      round = run();
    }, ROUND_MS);
  };
  arm();
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await round;
    // What was written since the last round, so that a server that is stopped in good order leaves no tail.
    await linkAuditLog(deps.db).catch(() => undefined);
  };
}
