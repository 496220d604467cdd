import { type Db, sql } from '../../database.ts';

/**
 * The one lock under which schedulers decide, held until the transaction ends: what one has queued is seen by the next, so
 * limits hold with several of them. First statement of a decision; the next one reads after whatever was waited for.
 *
 * The commit does not wait for the disk: a decision lost with the database is made again from what is there, and a claim,
 * which does wait, takes every decision before it along. A scheduler that stops in the middle (a stopped process, a dead
 * host) loses its session, and with it the lock, after 10 s.
 */
export async function lockSchedule(db: Db): Promise<void> {
  await db.query(
    sql`SELECT set_config('synchronous_commit', 'off', true), set_config('idle_in_transaction_session_timeout', '10000', true),
      pg_advisory_xact_lock(7233481020)`,
    'schedule_lock',
  );
}

/** The lock of sweeps, which any one scheduler does for all. @returns false when another one is at it. */
export async function tryLockSweep(db: Db): Promise<boolean> {
  const rows = await db.query<{ locked: boolean }>(
    sql`SELECT pg_try_advisory_xact_lock(7233481021) AS locked`,
    'sweep_lock',
  );
  return rows[0]!.locked;
}
