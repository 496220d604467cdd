/** A task that has succeeded, and what it says of assets. @see execution API 3.3; promise L15 */
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { knownAliasTargets } from '@airlock/store/queries/asset/emit';
import { clearTaskState } from '@airlock/store/queries/state-store/task';
import { type FinishRow, finishTask } from '@airlock/store/queries/task-instance/finish';
import { readVersionOf } from '@airlock/store/queries/task-instance/version';
import { emitAssetEvents, findModel, type OutletEvent, type Outlets } from '../../../runs/index.ts';
import { exactMember } from '../../http/exact-member.ts';
import { type AssetName, isDeclared, shownAsset, usesOf } from '../asset-rights.ts';
import type { Call, ExecutionContext } from '../context.ts';
import { notEntitled } from '../errors.ts';
import { bindingNeeds } from '../rights.ts';
import type { SuccessReport } from '../schemas.ts';
import { callerKey } from '../token-life.ts';

const MAX_PARTITION_KEY = 250;

/**
 * Ends a try with success and stores its asset events, both or neither.
 * @throws VALIDATION a partition key that is none · NOT_ENTITLED an asset that the task does not declare; the try runs on
 */
export async function succeed(context: ExecutionContext, call: Call, body: SuccessReport): Promise<FinishRow | null> {
  const exact = exactMember(call.request.bodyText, 'outlet_events', body.outlet_events);
  const events = (body.outlet_events ?? []).map((event, index) => eventOf(event, exact![index]!));
  const finish = (db: Db) =>
    finishTask(db, {
      ...callerKey(call),
      state: 'success',
      endDate: body.end_date,
      renderedMapIndex: body.rendered_map_index ?? null,
    });
  const outlets = outletsOf(body.task_outlets ?? []);
  const clears = context.deps.config.state_store.clear_on_success;
  if ((body.task_outlets ?? []).length === 0 && !clears) return await finish(context.db);
  let emitted: readonly string[] = [];
  const ended = await context.db.transaction(async (tx) => {
    const row = await finish(tx);
    if (!row?.finished) return row;
    await requireDeclared(context, tx, row, outlets, events);
    const { multiTeam } = context.rights;
    if (clears) {
      await clearTaskState(tx, { dagRunId: row.dag_run_id, taskId: row.task_id, mapIndex: row.map_index });
    }
    emitted = await emitAssetEvents(tx, { caller: row, outlets, events, multiTeam, nowIso: call.nowIso });
    return row;
  });
  for (const name of ended?.finished ? emitted : []) await context.uses.note(ended!, 'assets', name);
  return ended;
}

function outletsOf(profiles: NonNullable<SuccessReport['task_outlets']>): Outlets {
  const assets = new Map<string, { name: string; uri: string }>();
  const [names, uris, aliases] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const { type, name, uri } of profiles) {
    if (type === 'Asset' && name && uri) assets.set(JSON.stringify([name, uri]), { name, uri });
    else if (type === 'AssetNameRef' && name) names.add(name);
    else if (type === 'AssetUriRef' && uri) uris.add(uri);
    else if (type === 'AssetAlias' && name) aliases.add(name);
  }
  return { assets: [...assets.values()], names: [...names], uris: [...uris], aliases: [...aliases] };
}

type ReportedEvent = NonNullable<SuccessReport['outlet_events']>[number];

function eventOf(event: ReportedEvent, exact: ReportedEvent): OutletEvent {
  return {
    asset: { name: event.dest_asset_key.name, uri: event.dest_asset_key.uri },
    alias: event.source_alias_name || null,
    assetExtra: exact.dest_asset_extra ?? {},
    extra: exact.extra ?? {},
    partitionKey: partitionKeyOf(event.partition_key),
  };
}

function partitionKeyOf(key: unknown): string | null {
  if (key === undefined || key === null) return null;
  const problem =
    typeof key !== 'string' || key.trim() === ''
      ? `partition_key in outlet event must not be empty or whitespace-only; got '${String(key)}'.`
      : key.length > MAX_PARTITION_KEY
        ? `partition_key in outlet event must not be longer than ${MAX_PARTITION_KEY} characters.`
        : null;
  if (problem === null) return key as string;
  throw new AppError('VALIDATION', {
    public: problem,
    detail: { reason: 'invalid_partition_key', message: problem },
  });
}

/**
 * A task that is held to needs emits what it declares. Through a declared alias it also reaches assets that no Dag names
 * yet, and those that this alias has reached before: what an alias may become is for its author to say.
 */
async function requireDeclared(
  context: ExecutionContext,
  tx: Db,
  caller: FinishRow,
  outlets: Outlets,
  events: readonly OutletEvent[],
): Promise<void> {
  const needs = bindingNeeds(context.rights, caller);
  if (needs === null) return;
  const versionId = await readVersionOf(tx, caller.id);
  const model = versionId === null ? null : await findModel(tx, versionId);
  const uses = usesOf(model?.assets ?? [], caller, 'write');
  const declared = (wanted: AssetName) => isDeclared(wanted, uses, needs.assets);
  const wanted: AssetName[] = [
    ...outlets.assets,
    ...outlets.names.map((name) => ({ name, uri: null })),
    ...outlets.uris.map((uri) => ({ name: null, uri })),
    ...outlets.aliases.map((alias) => ({ alias })),
  ];
  const refused = wanted.find((each) => !declared(each));
  if (refused) throw notEntitled(shownAsset(refused));

  const through = events.filter(({ alias, asset }) => {
    return alias !== null && outlets.aliases.includes(alias) && !declared(asset);
  });
  if (through.length === 0) return;
  const known = await knownAliasTargets(tx, { assets: through.map(({ asset }) => asset) });
  for (const { alias, asset } of through) {
    const target = known.find(({ name, uri }) => name === asset.name && uri === asset.uri);
    if (target?.referenced && !target.aliases.includes(alias!)) throw notEntitled(shownAsset(asset));
  }
}
