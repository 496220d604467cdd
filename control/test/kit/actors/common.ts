/** What the actors of a random history share. */
import { randomBytes, randomUUID } from 'node:crypto';
import { addJoinTicket, registerSupervisor } from '@airlock/store/queries/supervisor/register';
import type { Outcomes } from '../random-dags.ts';
import type { World } from '../world.ts';

/** How long a supervisor may be silent, ms; as `[scheduler] scheduler_health_check_threshold`. */
export const SILENCE_MS = 30_000;
export const MAX_RETRY_DELAY_SECONDS = 100;

export type ActorOptions = {
  readonly parallelism: number;
  readonly outcomes: Outcomes;
  /** Time in the queue, ms, after which tries are returned, and fail at last. */
  readonly queueTimeoutMs: number;
  /** Seconds that a trigger has; null = as long as it takes. */
  readonly triggerSeconds: number | null;
};

/** Sorted by a name that is the same in every history, as ids are not. */
export const byName = <T>(items: readonly T[], name: (item: T) => string): T[] =>
  [...items].sort((a, b) => (name(a) < name(b) ? -1 : 1));
export const chosen = <T>(items: readonly T[], which: number): T | undefined =>
  items[which % Math.max(1, items.length)];
export const newJti = () => randomBytes(16).toString('hex');

/** A supervisor enters as ours do. @returns its id */
export async function joinSupervisor({ db, clock }: World, role: 'worker' | 'trigger'): Promise<string> {
  const ticket = randomBytes(32).toString('base64url');
  const nowIso = clock.iso();
  await addJoinTicket(db, {
    text: ticket,
    roles: [role],
    expiresAtIso: new Date(clock.nowMs() + 60_000).toISOString(),
  });
  const id = await registerSupervisor(
    db,
    {
      id: randomUUID(),
      jkt: newJti(),
      publicJwkJson: '{}',
      hostname: 'host',
      unixname: 'test',
      pid: 1,
      roles: [role],
      sandboxTier: 'none',
      version: 'test',
    },
    { ticket, nowIso, repeatableSinceIso: nowIso },
  );
  return id!;
}
