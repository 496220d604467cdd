/** Dags that wait for the rest of their schedule since an asset had an event. @see rest-api 4.7 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { listQueued, type QueuedFilter, type QueuedRow, removeQueued } from '@airlock/store/queries/rest-asset/queued';
import { zoneOf } from '../../domain/timetables/zone.ts';
import { nowIso, parseInstant, wireInstant } from '../http/instant.ts';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { pathAssetId } from './assets.ts';
import { optionalOne } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

/** Most rows of one answer; there is no paging here. */
const MAX_ROWS = 10_000;

const query = z.object({ before: optionalOne(wire.text({ max: 100 })) });

/** An instant as free text; without an offset it is a time of the configured zone. @throws BAD_REQUEST */
function before(context: RestContext): string | null {
  const { before: text } = parseQuery(query, context.request);
  if (text === undefined) return null;
  const given = parseInstant(text);
  if (given.ok) return given.iso;
  const wall = parseInstant(`${text}${text.includes(':') ? '' : 'T00:00:00'}Z`);
  if (!wall.ok) {
    throw new AppError('BAD_REQUEST', {
      public: `Invalid datetime: '${text}'. Please check the date parameter have this value.`,
    });
  }
  return nowIso(zoneOf(context.deps.config.core.default_timezone).toInstant(Date.parse(wall.iso)));
}

/** What the path names; null in its place = any. */
function filterOf(context: RestContext, named: { dag: boolean; asset: boolean }): QueuedFilter {
  return {
    visible: context.visible,
    dagId: named.dag ? context.param('dag_id') : null,
    assetId: named.asset ? pathAssetId(context) : null,
    before: before(context),
  };
}

function answer(row: QueuedRow): Record<string, unknown> {
  return { ...row, created_at: wireInstant(row.created_at) };
}

const list = (named: { dag: boolean; asset: boolean }) => async (context: RestContext) => {
  const rows = await listQueued(context.deps.db, filterOf(context, named), MAX_ROWS);
  return { queued_events: rows.map(answer), total_entries: rows.length };
};

function absent(context: RestContext): AppError {
  const [dagId, assetId] = [context.param('dag_id'), context.param('asset_id')];
  if (dagId === '')
    return new AppError('NOT_FOUND', { public: `Queue event with asset_id: \`${assetId}\` was not found` });
  if (assetId === '')
    return new AppError('NOT_FOUND', { public: `Queue event with dag_id: \`${dagId}\` was not found` });
  const text = `Queued event with dag_id: \`${dagId}\` and asset_id: \`${assetId}\` was not found`;
  return new AppError('NOT_FOUND', { public: text });
}

const BOTH = { dag: true, asset: true };

async function get(context: RestContext): Promise<unknown> {
  const [row] = await listQueued(context.deps.db, filterOf(context, BOTH), 1);
  if (!row) throw absent(context);
  return answer(row);
}

const remove = (event: string, named: { dag: boolean; asset: boolean }) => async (context: RestContext) => {
  const filter = filterOf(context, named);
  await context.mutate(event, { dagId: filter.dagId }, async (tx) => {
    if ((await removeQueued(tx, filter)) === 0) throw absent(context);
  });
};

type Row = { readonly path: string; readonly named: { dag: boolean; asset: boolean }; readonly event: string };
const OF_ASSET: Row = {
  path: '/assets/:asset_id/queuedEvents',
  named: { dag: false, asset: true },
  event: 'delete_asset_queued_events',
};
const OF_DAG: Row = {
  path: '/dags/:dag_id/assets/queuedEvents',
  named: { dag: true, asset: false },
  event: 'delete_dag_asset_queued_events',
};
const OF_BOTH: Row = {
  path: '/dags/:dag_id/assets/:asset_id/queuedEvents',
  named: BOTH,
  event: 'delete_dag_asset_queued_event',
};

export const queuedEventRoutes: RestRoute[] = [
  { method: 'GET', path: OF_ASSET.path, handle: list(OF_ASSET.named), query },
  { method: 'GET', path: OF_DAG.path, handle: list(OF_DAG.named), query },
  { method: 'GET', path: OF_BOTH.path, handle: get, query },
  ...[OF_ASSET, OF_DAG, OF_BOTH].map(
    ({ path, named, event }): RestRoute => ({
      method: 'DELETE',
      path,
      handle: remove(event, named),
      query,
      status: 204,
      event,
    }),
  ),
];
