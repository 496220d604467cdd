/** What watches for assets: what a Dag says of it, and the events that come of it. @see serialized Dag 8.1 */

import { createHash } from 'node:crypto';
import { parseExact } from '@airlock/contract/exact-json';
import { type Db, notify } from '@airlock/store';
import { insertAssetEvents } from '@airlock/store/queries/asset/emit';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { setWatchers, takeWatcherEvent } from '@airlock/store/queries/trigger/watch';
import { canonical } from '../domain/canonical.ts';
import type { DagModel } from '../domain/dag-model.ts';

/** Stores what the current version of a Dag watches. Needs the lock of ingestion, and the Dag's assets stored. */
export async function storeWatchers(tx: Db, model: DagModel, team: string | null, nowIso: string): Promise<void> {
  const watchers = model.watchers.map(({ asset, uri, name, classpath, kwargs }) => {
    const digest = createHash('sha256')
      .update(canonical([classpath, kwargs]))
      .digest('hex');
    return { asset, uri, name, classpath, kwargs: JSON.stringify(kwargs), digest };
  });
  await setWatchers(tx, { dagId: model.dagId, team, watchers, nowIso });
}

/**
 * Stores an event of each asset that a trigger watches for, for the Dags that may have events of its team. One that was taken
 * already is not taken again. Locks: the trigger's row, then as `insertAssetEvents`.
 * @returns false when the trigger may not speak for it, any more or at all
 */
export async function recordWatcherEvent(
  tx: Db,
  o: {
    readonly triggerId: number;
    readonly supervisorId: string;
    readonly eventId: string;
    /** JSON text. */
    readonly payload: string;
    readonly multiTeam: boolean;
    readonly nowIso: string;
  },
): Promise<boolean> {
  const watched = await takeWatcherEvent(tx, o);
  if (watched === null) return false;
  if (watched.repeated) return true;
  const { asset_ids: assetIds, team } = watched;
  const extra = { from_trigger: true, payload: parseExact(o.payload) };
  const { ids, queued } = await insertAssetEvents(tx, {
    events: assetIds.map((asset_id) => ({ asset_id, extra, partition_key: null, aliases: [] })),
    source: null,
    audience: { kind: 'task', team },
    multiTeam: o.multiTeam,
    nowIso: o.nowIso,
  });
  await insertEventLog(tx, {
    nowIso: o.nowIso,
    event: 'watcher_event',
    owner: 'trigger',
    extra: JSON.stringify({ trigger: o.triggerId, assets: assetIds, events: ids, team }),
  });
  if (queued > 0) await notify(tx, { kind: 'schedule' });
  return true;
}
