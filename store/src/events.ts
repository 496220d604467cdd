/**
 * What woke whom: notifications on one channel, sent inside the transaction that made the change, so that a listener never
 * looks before the commit. Losing one is harmless: every listener also polls slowly.
 */
import { type Db, sql } from './database.ts';

export const EVENT_CHANNEL = 'airlock';

export type StoreEvent =
  /** Something in this run changed: examine it. */
  | { readonly kind: 'run'; readonly dagRunId: number }
  /** Task instances were queued: hand them out. */
  | { readonly kind: 'queue' }
  /** Callbacks wait to be run: hand them out. */
  | { readonly kind: 'callback' }
  /** Tries wait for new triggers: hand them out. */
  | { readonly kind: 'trigger' }
  /** A timetable is asked, or has answered. */
  | { readonly kind: 'timetable' }
  /** A Dag was parsed, paused, unpaused or deleted; or a pool or slot count changed: look at what is due. */
  | { readonly kind: 'schedule' }
  /** The audit log has new rows: link them. Sent by a trigger of the table. */
  | { readonly kind: 'audit' };

/** Sends `event` when the surrounding transaction commits. Equal events of one transaction arrive once. */
export async function notify(db: Db, event: StoreEvent): Promise<void> {
  await db.query(sql`SELECT pg_notify(${EVENT_CHANNEL}, ${encodeEvent(event)})`, 'notify');
}

/** The payload, also for use inside a larger statement. */
export function encodeEvent(event: StoreEvent): string {
  return event.kind === 'run' ? `run ${event.dagRunId}` : event.kind;
}

const PLAIN = ['queue', 'callback', 'trigger', 'timetable', 'schedule', 'audit'] as const satisfies ReadonlyArray<
  StoreEvent['kind']
>;

function isPlain(payload: string): payload is (typeof PLAIN)[number] {
  return (PLAIN as readonly string[]).includes(payload);
}

/** @returns null for a payload of a newer release. */
export function decodeEvent(payload: string): StoreEvent | null {
  if (isPlain(payload)) return { kind: payload };
  const run = /^run (\d+)$/.exec(payload);
  return run ? { kind: 'run', dagRunId: Number(run[1]) } : null;
}
