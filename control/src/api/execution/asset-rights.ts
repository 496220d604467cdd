/**
 * Which assets a try may name. One that is held to needs: those that its task has as inlets and outlets, those of its Dag's
 * schedule for reading, and those that its needs name. Decided from the try's row and the Dag version that it runs, before
 * any look-up. Without needs, the database decides by team. @see promises L6, L15
 */
import { readGraphVersion } from '@airlock/store/queries/task-instance/version';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import type { AssetUse } from '../../domain/assets.ts';
import { findModel } from '../../runs/index.ts';
import type { Call, ExecutionContext } from './context.ts';
import { notEntitled, notFound, TRY_NOT_FOUND } from './errors.ts';
import { bindingNeeds } from './rights.ts';
import { callerKey, requireLive } from './token-life.ts';

/** How a request names an asset: by alias, or by name, by uri, or by both. */
export type AssetName =
  | { readonly alias: string }
  | { readonly alias?: undefined; readonly name: string | null; readonly uri: string | null };

/** Pure. `names` are those of the needs. */
export function isDeclared(wanted: AssetName, uses: readonly AssetUse[], names: readonly string[]): boolean {
  if (wanted.alias !== undefined) return uses.some((use) => use.kind === 'alias' && use.name === wanted.alias);
  const { name, uri } = wanted;
  if (name !== null && names.includes(name)) return true;
  return uses.some((use) => {
    if (use.kind === 'asset') return (name === null || use.name === name) && (uri === null || use.uri === uri);
    if (use.kind === 'name') return use.name === name;
    return use.kind === 'uri' && use.uri === uri;
  });
}

/** The uses of assets that give the caller a right. */
export function usesOf(all: readonly AssetUse[], caller: Pick<CallerRow, 'task_id'>, to: 'read' | 'write'): AssetUse[] {
  return all.filter((use) =>
    to === 'write'
      ? use.role === 'outlet' && use.taskId === caller.task_id
      : use.role === 'schedule' || use.taskId === caller.task_id,
  );
}

/** How a refusal names it. */
export const shownAsset = (wanted: AssetName): string =>
  wanted.alias !== undefined ? `asset alias ${wanted.alias}` : `asset ${wanted.name ?? wanted.uri}`;

/** The live caller, once it was found entitled to each of the assets. @throws NOT_ENTITLED naming the first that it is not */
export async function requireAssets(
  context: ExecutionContext,
  call: Call,
  wanted: readonly AssetName[],
  to: 'read' | 'write',
): Promise<CallerRow> {
  const found = await readGraphVersion(context.db, callerKey(call));
  if (!found) throw notFound(TRY_NOT_FOUND);
  const caller = await requireLive(context, call, found);
  const needs = bindingNeeds(context.rights, caller);
  if (needs === null) {
    for (const each of wanted) {
      const name = each.alias ?? each.name ?? each.uri ?? '';
      await context.uses.note(caller, to === 'read' ? 'asset_reads' : 'asset_writes', name);
    }
    return caller;
  }
  const model = await findModel(context.db, caller.data);
  const uses = usesOf(model?.assets ?? [], caller, to);
  const refused = wanted.find((each) => !isDeclared(each, uses, needs.assets));
  if (refused) throw notEntitled(shownAsset(refused));
  return caller;
}
