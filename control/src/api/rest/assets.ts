/** Assets and aliases, and the runs that make an asset anew. @see rest-api 4.7, 5.14 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { ALIAS_ORDER, getAlias, listAliases } from '@airlock/store/queries/rest-asset/aliases';
import {
  ASSET_ORDER,
  type AssetReference,
  type AssetRow,
  getAsset,
  listAssets,
  producersOf,
} from '@airlock/store/queries/rest-asset/list';
import { wireInstant } from '../http/instant.ts';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { many, wire } from '../http/wire.ts';
import { optionalOne, pageOf, pageQuery, patterns, sortKeys } from './list-query.ts';
import type { RestContext, RestDeps, RestRoute } from './route.ts';
import { askAbout, createRunOf, runFields } from './run-changes.ts';

/** Where a Dag names an asset. Airflow touches `updated_at` with every parse; here a reference that stays is not written. */
function reference({ dag_id, task_id, at }: AssetReference): Record<string, unknown> {
  const instant = wireInstant(at);
  return { dag_id, ...(task_id === null ? {} : { task_id }), created_at: instant, updated_at: instant };
}

function answer(deps: Pick<RestDeps, 'masker'>, row: AssetRow): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    uri: row.uri,
    group: row.group,
    extra: deps.masker.mask(row.extra),
    created_at: wireInstant(row.created_at),
    updated_at: wireInstant(row.updated_at),
    scheduled_dags: row.schedules.map(reference),
    producing_tasks: row.outlets.map(reference),
    consuming_tasks: row.inlets.map(reference),
    aliases: row.aliases,
    watchers: row.watchers.map(({ name, trigger_id, at }) => ({ name, trigger_id, created_date: wireInstant(at) })),
    last_asset_event: { id: row.last?.id ?? null, timestamp: row.last ? wireInstant(row.last.at) : null },
  };
}

const listQuery = z.object({
  ...pageQuery,
  ...patterns('name'),
  ...patterns('uri'),
  dag_ids: many(wire.text()),
  only_active: optionalOne(wire.bool()),
});

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const dagIds = query.dag_ids.length === 1 ? query.dag_ids[0]!.split(',') : query.dag_ids;
  const { rows, total } = await listAssets(
    context.deps.db,
    {
      visible: context.visible,
      namePattern: query.name_pattern,
      namePrefix: query.name_prefix_pattern,
      uriPattern: query.uri_pattern,
      uriPrefix: query.uri_prefix_pattern,
      dagIds,
      onlyActive: query.only_active ?? true,
    },
    { order: sortKeys(query.order_by, ASSET_ORDER, ASSET_ORDER.id!, ['id']), ...pageOf(context, query) },
  );
  return { assets: rows.map((row) => answer(context.deps, row)), total_entries: total };
}

/** The integer in the path. */
export function pathAssetId(context: RestContext): number {
  return check(wire.int(), context.param('asset_id'), ['path', 'asset_id']);
}

async function get(context: RestContext): Promise<unknown> {
  const id = pathAssetId(context);
  const row = await getAsset(context.deps.db, context.visible, id);
  if (!row) throw new AppError('NOT_FOUND', { public: `The Asset with ID: \`${id}\` was not found` });
  return answer(context.deps, row);
}

const aliasesQuery = z.object({ ...pageQuery, ...patterns('name') });

async function aliases(context: RestContext): Promise<unknown> {
  const query = parseQuery(aliasesQuery, context.request);
  const { rows, total } = await listAliases(context.deps.db, {
    visible: context.visible,
    pattern: query.name_pattern,
    prefix: query.name_prefix_pattern,
    order: sortKeys(query.order_by, ALIAS_ORDER, ALIAS_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { asset_aliases: rows, total_entries: total };
}

async function alias(context: RestContext): Promise<unknown> {
  const id = check(wire.int(), context.param('asset_alias_id'), ['path', 'asset_alias_id']);
  const row = await getAlias(context.deps.db, context.visible, id);
  if (!row) throw new AppError('NOT_FOUND', { public: `The Asset Alias with ID: \`${id}\` was not found` });
  return row;
}

/** It may be left out. */
const materializeBody = z.preprocess((body) => body ?? {}, runFields(wire.instant().nullish()));

/** Triggers the one Dag that has the asset among its outlets. */
async function materialize(context: RestContext): Promise<unknown> {
  const id = pathAssetId(context);
  const body = parseBody(materializeBody, context.request);
  const [dag, another] = await producersOf(context.deps.db, context.visible, id, 2);
  if (!dag) throw new AppError('NOT_FOUND', { public: `No Dag materializes asset with ID: ${id}` });
  if (another) throw new AppError('CONFLICT', { public: `More than one Dag materializes asset with ID: ${id}` });
  if (!context.may({ resource: 'run', method: 'POST', item: dag.dag_id, team: dag.team })) {
    throw new AppError('FORBIDDEN', {
      public: `User is not authorized to trigger a run for Dag: ${dag.dag_id} that materializes this asset`,
    });
  }
  const target = { dagId: dag.dag_id, runId: body.dag_run_id ?? null };
  const runType = 'asset_materialization';
  const asked = await askAbout(context, dag.dag_id, body, runType);
  return context.mutate('materialize_asset', target, (tx) =>
    createRunOf(tx, context, dag.dag_id, body, { runType, triggeredBy: 'rest_api', asked }),
  );
}

export const assetRoutes: RestRoute[] = [
  { method: 'GET', path: '/assets', handle: list, query: listQuery },
  { method: 'GET', path: '/assets/aliases', handle: aliases, query: aliasesQuery },
  { method: 'GET', path: '/assets/aliases/:asset_alias_id', handle: alias },
  { method: 'GET', path: '/assets/:asset_id', handle: get },
  {
    method: 'POST',
    path: '/assets/:asset_id/materialize',
    handle: materialize,
    body: materializeBody,
    event: 'materialize_asset',
  },
];
