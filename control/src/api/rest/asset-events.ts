/** Events of assets: lists, those that a run consumed, and events from outside. @see rest-api 4.7, 5.14 */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';
import { z } from '@airlock/contract/schema';
import { notify } from '@airlock/store';
import { insertAssetEvents } from '@airlock/store/queries/asset/emit';
import {
  ASSET_EVENT_ID,
  ASSET_EVENT_ORDER,
  type AssetEventRow,
  type ConsumingRun,
  consumedBy,
  getAssetEvent,
  listAssetEvents,
} from '@airlock/store/queries/rest-asset/events';
import { getAsset } from '@airlock/store/queries/rest-asset/list';
import { exactMember } from '../http/exact-member.ts';
import { wireInstant } from '../http/instant.ts';
import { parseBody, parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { instantRange, optionalOne, pageOf, pageQuery, patterns, rangeOf, sortKeys } from './list-query.ts';
import type { RestContext, RestDeps, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';

/** Most events that one run shows. */
const MAX_CONSUMED = 10_000;

function runAnswer(run: ConsumingRun): Record<string, unknown> {
  return {
    ...run,
    logical_date: wireInstant(run.logical_date),
    start_date: wireInstant(run.start_date),
    end_date: wireInstant(run.end_date),
    data_interval_start: wireInstant(run.data_interval_start),
    data_interval_end: wireInstant(run.data_interval_end),
  };
}

function answer(deps: Pick<RestDeps, 'masker'>, row: AssetEventRow): Record<string, unknown> {
  const { at, runs, extra, ...rest } = row;
  return {
    ...rest,
    extra: deps.masker.mask(parseExact(extra)),
    created_dagruns: runs.map(runAnswer),
    timestamp: wireInstant(at),
  };
}

const listQuery = z.object({
  ...pageQuery,
  asset_id: optionalOne(wire.int()),
  source_dag_id: optionalOne(wire.text()),
  source_task_id: optionalOne(wire.text()),
  source_run_id: optionalOne(wire.text()),
  source_map_index: optionalOne(wire.int()),
  ...patterns('name'),
  ...instantRange('timestamp'),
});

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const { rows, total } = await listAssetEvents(
    context.deps.db,
    {
      visible: context.visible,
      assetId: query.asset_id,
      sourceDagId: query.source_dag_id,
      sourceTaskId: query.source_task_id,
      sourceRunId: query.source_run_id,
      sourceMapIndex: query.source_map_index,
      namePattern: query.name_pattern,
      namePrefix: query.name_prefix_pattern,
      at: rangeOf(query, 'timestamp'),
    },
    { order: sortKeys(query.order_by, ASSET_EVENT_ORDER, ASSET_EVENT_ID, ['timestamp']), ...pageOf(context, query) },
  );
  return { asset_events: rows.map((row) => answer(context.deps, row)), total_entries: total };
}

async function upstream(context: RestContext): Promise<unknown> {
  const { db } = context.deps;
  const run = await loadRun(db, context.param('dag_id'), context.param('dag_run_id'));
  const rows = await consumedBy(db, context.visible, run.id, MAX_CONSUMED);
  return { asset_events: rows.map((row) => answer(context.deps, row)), total_entries: rows.length };
}

const createBody = z.strictObject({
  asset_id: wire.int(),
  partition_key: wire.text({ max: 250, pattern: /\S/, shownPattern: '\\S' }).nullish(),
  extra: wire.object().default({}),
  access_control: z
    .strictObject({ consumer_teams: z.array(wire.text()).max(1000).nullish(), allow_global: wire.bool().default(true) })
    .nullish(),
});

async function create(context: RestContext): Promise<unknown> {
  const body = parseBody(createBody, context.request);
  const { visible, nowIso, deps } = context;
  return context.mutate('create_asset_event', {}, async (tx) => {
    if (!(await getAsset(tx, visible, body.asset_id))) {
      throw new AppError('NOT_FOUND', { public: `Asset with ID: \`${body.asset_id}\` was not found` });
    }
    const extra = { ...exactMember(context.request.bodyText, 'extra', body.extra), from_rest_api: true };
    const { ids, queued } = await insertAssetEvents(tx, {
      events: [{ asset_id: body.asset_id, extra, partition_key: body.partition_key ?? null, aliases: [] }],
      source: null,
      audience: {
        kind: 'user',
        teams: visible === 'all' ? 'all' : visible.teams,
        consumers: {
          teams: body.access_control?.consumer_teams ?? null,
          allowGlobal: body.access_control?.allow_global ?? true,
        },
      },
      multiTeam: deps.config.core.multi_team,
      nowIso,
    });
    if (queued > 0) await notify(tx, { kind: 'schedule' });
    return answer(deps, (await getAssetEvent(tx, visible, ids[0]!))!);
  });
}

export const assetEventRoutes: RestRoute[] = [
  { method: 'GET', path: '/assets/events', handle: list, query: listQuery },
  { method: 'POST', path: '/assets/events', handle: create, body: createBody, event: 'create_asset_event' },
  { method: 'GET', path: '/dags/:dag_id/dagRuns/:dag_run_id/upstreamAssetEvents', handle: upstream },
];
