/** Events of assets: how the report of a task becomes events. @see execution API 3.3; scheduling semantics 3.4 */
import { type Database, type Db, notify } from '@airlock/store';
import {
  type AssetKey,
  ensureAliasTargets,
  insertAssetEvents,
  type NewAssetEvent,
  resolveOutlets,
} from '@airlock/store/queries/asset/emit';
import { isEmittedWaiting, refreshActiveAssets } from '@airlock/store/queries/asset/ingest';
import { lockIngestion } from '@airlock/store/queries/dag/ingest';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { CallerRow } from '@airlock/store/queries/token/caller';

/** What a task says it has written, by the forms that it may name assets in. */
export type Outlets = {
  readonly assets: readonly AssetKey[];
  readonly names: readonly string[];
  readonly uris: readonly string[];
  readonly aliases: readonly string[];
};

/** One event that a task describes; `alias` = it was written through an alias, to whatever asset. */
export type OutletEvent = {
  readonly asset: AssetKey;
  readonly alias: string | null;
  /** Of the asset, if the event is the first that names it. */
  readonly assetExtra: object;
  readonly extra: object;
  readonly partitionKey: string | null;
};

export type EmitOptions = {
  readonly caller: CallerRow;
  readonly outlets: Outlets;
  readonly events: readonly OutletEvent[];
  readonly multiTeam: boolean;
  readonly nowIso: string;
};

/** Most names that a record of the audit log holds. */
const MAX_NAMED = 100;

const keyOf = ({ name, uri }: AssetKey): string => JSON.stringify([name, uri]);

/**
 * Stores the events of a task that has succeeded: one for each description that fits an outlet, one plain event for an
 * outlet without any, one for each distinct description under an alias. Outlets that are inactive, unknown or another team's
 * make none. Needs the caller's row locked. Locks as `insertAssetEvents`.
 * @returns the names of the assets that had an event
 */
export async function emitAssetEvents(tx: Db, options: EmitOptions): Promise<readonly string[]> {
  const { caller, outlets, nowIso, multiTeam } = options;
  const wishes = [
    ...outlets.assets,
    ...outlets.names.map((name) => ({ name, uri: null })),
    ...outlets.uris.map((uri) => ({ name: null, uri })),
  ];
  const direct = options.events.filter((event) => event.alias === null);
  const events: NewAssetEvent[] = [];
  const named = new Set<string>();
  for (const asset of wishes.length > 0 ? await resolveOutlets(tx, { tryId: caller.id, wishes, multiTeam }) : []) {
    const described = direct.filter((event) => keyOf(event.asset) === keyOf(asset));
    const plain = { extra: {}, partitionKey: null };
    for (const { extra, partitionKey } of described.length > 0 ? described : [plain]) {
      events.push({ asset_id: asset.id, extra, partition_key: partitionKey, aliases: [] });
    }
    named.add(asset.name);
  }
  const through = options.events.filter((event) => event.alias !== null && outlets.aliases.includes(event.alias));
  if (through.length > 0) {
    const assets = through.map(({ asset, assetExtra }) => ({ ...asset, extra: assetExtra }));
    const targets = await ensureAliasTargets(tx, { tryId: caller.id, assets, multiTeam, nowIso });
    const ids = new Map(targets.map((asset) => [keyOf(asset), asset.id]));
    for (const { event, aliases } of merged(through)) {
      const id = ids.get(keyOf(event.asset));
      if (id === undefined) continue;
      events.push({ asset_id: id, extra: event.extra, partition_key: event.partitionKey, aliases });
      named.add(event.asset.name);
    }
  }
  if (events.length === 0) return [];
  const { dag_id: dagId, run_id: runId, task_id: taskId, map_index: mapIndex, dag_run_id: dagRunId } = caller;
  const source = { dagId, runId, taskId, mapIndex, dagRunId };
  const { queued, unkeyed } = await insertAssetEvents(tx, {
    events,
    source,
    audience: { kind: 'task', team: caller.team },
    multiTeam,
    nowIso,
  });
  if (queued > 0) await notify(tx, { kind: 'schedule' });
  if (unkeyed.length > 0) {
    await insertEventLog(tx, {
      nowIso,
      event: 'missing partition key',
      owner: null,
      ...source,
      tryNumber: caller.try_number,
      extra: JSON.stringify({ listening_dags: unkeyed.slice(0, MAX_NAMED), assets: [...named].slice(0, MAX_NAMED) }),
    });
  }
  return [...named];
}

/** Equal events that were written through several aliases are one, under all of them. */
function merged(events: readonly OutletEvent[]): ReadonlyArray<{ event: OutletEvent; aliases: string[] }> {
  const byContent = new Map<string, { event: OutletEvent; aliases: string[] }>();
  for (const event of events) {
    const { asset, assetExtra, extra, partitionKey } = event;
    const content = JSON.stringify([asset.name, asset.uri, assetExtra, extra, partitionKey]);
    const seen = byContent.get(content);
    if (!seen) byContent.set(content, { event, aliases: [event.alias!] });
    else if (!seen.aliases.includes(event.alias!)) seen.aliases.push(event.alias!);
  }
  return [...byContent.values()];
}

/**
 * Activates assets that only events under an alias name. Not by the try that emits: what is active is decided under the lock of
 * ingestion, which has to be the first of a transaction.
 */
export async function activateEmitted(db: Database, nowIso: string): Promise<void> {
  if (!(await isEmittedWaiting(db))) return;
  await db.transaction(async (tx) => {
    await lockIngestion(tx);
    await refreshActiveAssets(tx, nowIso);
  });
}
