/** What follows when the process of a try is known to be gone. @see scheduling semantics 4.9, 8 */
import { type Database, type Db, notify } from '@airlock/store';
import { endRestartOf, findMissingTries, unclaimTries } from '@airlock/store/queries/task-instance/reap';
import { instantIso } from '../domain/instants.ts';
import { HANDOUT_GRACE_MS } from '../scheduler/bounds.ts';
import { failTry } from './fail-try.ts';

/**
 * Ends the tries that a supervisor should hold and does not: they have died with a process of it. Claimed ones that never
 * started go back to the queue. @param holds ids that it says it holds now
 */
export async function reapMissingTries(
  db: Database,
  options: { readonly supervisorId: string; readonly holds: readonly string[]; readonly nowIso: string },
): Promise<readonly string[]> {
  const reaping = {
    ...options,
    givenBeforeIso: instantIso(Date.parse(options.nowIso) - HANDOUT_GRACE_MS),
    reason: 'Its supervisor no longer has this try.',
  };
  // Nearly always it has them all, and then no transaction is opened.
  if ((await findMissingTries(db, reaping)).length === 0) return [];
  return await db.transaction((tx) => reap(tx, reaping));
}

/** Ends or takes back everything that a supervisor held which is known to be dead. */
export function releaseTriesOf(
  tx: Db,
  options: { readonly supervisorId: string; readonly nowIso: string; readonly reason?: string },
): Promise<readonly string[]> {
  // The future: what was handed out at this very instant died with it too.
  const givenBeforeIso = instantIso(Date.parse(options.nowIso) + HANDOUT_GRACE_MS);
  const reason = options.reason ?? 'The supervisor that ran this try has died.';
  return reap(tx, { ...options, holds: [], givenBeforeIso, reason });
}

type Reaping = {
  readonly supervisorId: string;
  readonly holds: readonly string[];
  readonly givenBeforeIso: string;
  readonly reason: string;
  readonly nowIso: string;
};

async function reap(tx: Db, options: Reaping): Promise<readonly string[]> {
  const { nowIso, reason } = options;
  const missing = await findMissingTries(tx, options);
  const claimed = missing.filter((ti) => ti.state === 'queued').map((ti) => ti.id);
  await unclaimTries(tx, { ids: claimed, supervisorId: options.supervisorId, nowIso });
  for (const { id, state, workload_jti: stretch } of missing) {
    if (state === 'running') await failTry(tx, { id, reason, nowIso, from: ['running'], stretch });
  }
  return missing.map((ti) => ti.id);
}

/** Lets a cleared task instance go on, once the supervisor that held its old try says that the process has ended. */
export async function endRestart(
  tx: Db,
  options: { readonly oldTryId: string; readonly supervisorId: string; readonly nowIso: string },
): Promise<void> {
  const dagRunId = await endRestartOf(tx, options);
  if (dagRunId !== null) await notify(tx, { kind: 'run', dagRunId });
}
