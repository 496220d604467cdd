/**
 * Links the rows of the audit log into its chain. Every control process is woken by new rows, and tries soon after; the lock
 * of the chain's one row lets one of them at a time. What is visible in one round was committed before what is first visible
 * in the next; rows of one round are linked by id. @see promise L33
 */
import { createHash } from 'node:crypto';
import { linkHash, type Sha256 } from '@airlock/contract/audit-chain';
import { isAppError } from '@airlock/contract/errors';
import type { Database } from '@airlock/store';
import { linkEvents, lockChain, unlinkedEvents } from '@airlock/store/queries/event-log/chain';
import type { ControlDeps } from '../deps.ts';

/** From the first new row to the round that links it. */
const ROUND_MS = 400;
/** Without news: for a notification that was lost all the same. */
const LOOK_MS = 30_000;
const BATCH = 500;

export const sha256: Sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** Links what waits, one batch in each transaction. @returns `busy`: another process links now, and may not see all that waits */
export async function linkAuditLog(db: Database): Promise<{ readonly busy: boolean }> {
  for (;;) {
    // What wakes us is often linked by another process already, and then no transaction is opened.
    if ((await unlinkedEvents(db, 1)).length === 0) return { busy: false };
    const count = await db.transaction(async (tx) => {
      const ends = await lockChain(tx);
      if (!ends) return null;
      let { head_seq: seq, head_hash: hash } = ends;
      const links = (await unlinkedEvents(tx, BATCH)).map((row) => {
        seq++;
        hash = linkHash(sha256, hash, seq, row);
        return { id: row.id, seq, hash };
      });
      if (links.length > 0) await linkEvents(tx, links);
      return links.length;
    });
    if (count === null) return { busy: true };
    if (count === 0) return { busy: false };
  }
}

/** Links until it is stopped. @returns what stops it, after the round in progress */
export function startAuditLinker(deps: Pick<ControlDeps, 'db' | 'log' | 'events'>): () => Promise<void> {
  const log = deps.log.child({ part: 'audit' });
  let timer: NodeJS.Timeout | undefined;
  /** When the timer ends, on performance's clock. */
  let wakesAtMs = 0;
  let round: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let failing = false;
  /** Whether all is well: nothing waits, as far as this process knows. */
  const link = async (): Promise<boolean> => {
    try {
      const { busy } = await linkAuditLog(deps.db);
      failing = false;
      return !busy;
    } catch (err) {
      if (!failing) {
        if (isAppError(err, 'DB_UNAVAILABLE'))
          log.warn({ err }, 'the database is unavailable; the audit log waits for it');
        else log.error({ err }, 'the audit log is not linked; it is tried again');
      }
      failing = true;
      return false;
    }
  };
  const run = async (): Promise<void> => {
    again = false;
    const fine = await link();
    round = null;
    arm(fine && !again ? LOOK_MS : ROUND_MS);
  };
  const arm = (ms: number): void => {
    if (stopped) return;
    clearTimeout(timer);
    wakesAtMs = performance.now() + ms;
    timer = setTimeout(() => {
      round = run();
    }, ms);
  };
  /** Not at once, so that what comes together is linked together; and never later than what is armed already. */
  const wake = (): void => {
    if (round) again = true;
    else if (wakesAtMs > performance.now() + ROUND_MS) arm(ROUND_MS);
  };
  const offEvents = deps.events.on((event) => {
    if (event.kind === 'audit') wake();
  });
  const offGaps = deps.events.onGap(wake);
  arm(ROUND_MS);
  return async () => {
    stopped = true;
    offEvents();
    offGaps();
    clearTimeout(timer);
    await round;
    // What was written since the last round, so that a server that is stopped in good order leaves no tail.
    await linkAuditLog(deps.db).catch(() => undefined);
  };
}
