/** Runs: lists and single ones. @see rest-api 4.3 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { DAG_RUN_STATES } from '@airlock/contract/states';
import { dagExists } from '@airlock/store/queries/rest-dag/list';
import type { Range } from '@airlock/store/queries/rest-list/compose';
import { listRuns, listRunsByCursor, RUN_ORDER, type RunFilters } from '@airlock/store/queries/rest-run/list';
import { instantIso } from '../../domain/instants.ts';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { many, wire } from '../http/wire.ts';
import { CURSOR_COUNT_LIMIT, cursorMembers, decodeCursor, offsetMembers } from './cursor.ts';
import { dagNotFound, loadModelOf } from './dags.ts';
import {
  instantRange,
  numberRange,
  optionalOne,
  pageOf,
  pageQuery,
  patterns,
  rangeOf,
  sortKeys,
} from './list-query.ts';
import { partitionInstant } from './partition-instant.ts';
import type { RestContext, RestRoute } from './route.ts';
import { freshRunAnswer, runAnswers } from './run-answer.ts';
import { checkRunStates, checkRunTypes } from './state-words.ts';

const listQuery = z.object({
  ...pageQuery,
  cursor: optionalOne(wire.text()),
  ...instantRange('run_after'),
  ...instantRange('logical_date'),
  ...instantRange('start_date'),
  ...instantRange('end_date'),
  ...instantRange('updated_at'),
  ...numberRange('duration'),
  conf_contains: optionalOne(wire.text({ max: 2000 })),
  run_type: many(wire.text()),
  state: many(wire.text()),
  dag_version: many(wire.int()),
  bundle_version: optionalOne(wire.text()),
  ...patterns('run_id'),
  ...patterns('triggering_user_name'),
  ...patterns('dag_id'),
  ...patterns('partition_key'),
  consuming_asset_pattern: optionalOne(wire.searchTerm()),
  partition_date_gte: optionalOne(wire.day()),
  partition_date_lte: optionalOne(wire.day()),
});

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const dagId = context.param('dag_id');
  const { db } = context.deps;
  const partitionDate = await partitionDays(context, dagId, query.partition_date_gte, query.partition_date_lte);
  const filters: RunFilters = {
    visible: context.visible,
    dagIds: dagId === '~' ? null : [dagId],
    consumingAsset: query.consuming_asset_pattern,
    partitionDate,
    runAfter: rangeOf(query, 'run_after'),
    logicalDate: rangeOf(query, 'logical_date'),
    startDate: rangeOf(query, 'start_date'),
    endDate: rangeOf(query, 'end_date'),
    updatedAt: rangeOf(query, 'updated_at'),
    duration: rangeOf(query, 'duration'),
    openRanges: true,
    confContains: query.conf_contains,
    runTypes: checkRunTypes(query.run_type),
    states: checkRunStates(query.state),
    versionNumbers: query.dag_version,
    bundleVersion: query.bundle_version,
    runIdPattern: query.run_id_pattern,
    runIdPrefix: query.run_id_prefix_pattern,
    userPattern: query.triggering_user_name_pattern,
    userPrefix: query.triggering_user_name_prefix_pattern,
    dagIdPattern: query.dag_id_pattern,
    dagIdPrefix: query.dag_id_prefix_pattern,
    partitionKeyPattern: query.partition_key_pattern,
    partitionKeyPrefix: query.partition_key_prefix_pattern,
    nowIso: context.nowIso,
  };
  const order = sortKeys(query.order_by, RUN_ORDER, RUN_ORDER.id!, ['id']);
  const { limit, offset } = pageOf(context, query);
  if (dagId !== '~' && !(await dagExists(db, dagId))) throw dagNotFound(dagId);
  if (query.cursor !== undefined) {
    const from = decodeCursor(query.cursor, order);
    const page = await listRunsByCursor(db, filters, { order, limit, from, most: CURSOR_COUNT_LIMIT });
    return { dag_runs: await runAnswers(db, page.rows), ...cursorMembers(page, from) };
  }
  const { rows, total } = await listRuns(db, filters, { order, limit, offset });
  return { dag_runs: await runAnswers(db, rows), ...offsetMembers(total) };
}

/** Whole days of the schedule's own zone, both included, as instants. */
async function partitionDays(
  context: RestContext,
  dagId: string,
  from: string | undefined,
  to: string | undefined,
): Promise<Range<string> | undefined> {
  if (from === undefined && to === undefined) return undefined;
  const names = 'partition_date_gte and partition_date_lte';
  if (dagId === '~') throw new AppError('BAD_REQUEST', { public: `${names} require a specific dag_id.` });
  const model = await loadModelOf(context, dagId);
  if (!model.timetable.partitioned) {
    throw new AppError('BAD_REQUEST', {
      public: `Dag with dag_id: '${dagId}' is not partitioned; ${names} are not supported.`,
    });
  }
  return {
    ...(from !== undefined && { gte: partitionInstant(model, from) }),
    ...(to !== undefined && { lt: partitionInstant(model, instantIso(Date.parse(to) + 86_400_000).slice(0, 10)) }),
  };
}

const instant = () => wire.instant().nullish();
const number = () => wire.float().nullish();
/** Bounds of a body: like those of a query, but null means absent. */
export function bodyRange<const N extends string>(name: N, kind: 'instant' | 'number') {
  const make = kind === 'instant' ? instant : number;
  return Object.fromEntries(['gte', 'gt', 'lte', 'lt'].map((suffix) => [`${name}_${suffix}`, make()])) as Record<
    `${N}_${'gte' | 'gt' | 'lte' | 'lt'}`,
    ReturnType<typeof instant>
  >;
}

const batchBody = z.strictObject({
  order_by: wire.text().nullish(),
  page_offset: wire.int({ ge: 0 }).default(0),
  page_limit: wire.int({ ge: 0 }).default(100),
  dag_ids: z.array(wire.text()).max(1000).nullish(),
  states: z.array(wire.word(DAG_RUN_STATES).nullable()).max(100).nullish(),
  ...bodyRange('run_after', 'instant'),
  ...bodyRange('logical_date', 'instant'),
  ...bodyRange('start_date', 'instant'),
  ...bodyRange('end_date', 'instant'),
  ...bodyRange('duration', 'number'),
  conf_contains: wire.text({ max: 2000 }).nullish(),
});

async function batch(context: RestContext): Promise<unknown> {
  check(wire.word(['~']), context.param('dag_id'), ['path', 'dag_id']);
  const body = parseBody(batchBody, context.request);
  const { db, config } = context.deps;
  const filters: RunFilters = {
    visible: context.visible,
    dagIds: body.dag_ids ?? null,
    runAfter: rangeOf(body, 'run_after'),
    logicalDate: rangeOf(body, 'logical_date'),
    startDate: rangeOf(body, 'start_date'),
    endDate: rangeOf(body, 'end_date'),
    duration: rangeOf(body, 'duration'),
    openRanges: false,
    states: body.states ?? [],
    confContains: body.conf_contains ?? undefined,
    nowIso: context.nowIso,
  };
  const order = sortKeys(body.order_by ? [body.order_by] : [], RUN_ORDER, RUN_ORDER.id!, ['id']);
  const limit = Math.min(body.page_limit, Math.max(100, config.api.maximum_page_limit));
  const { rows, total } = await listRuns(db, filters, { order, limit, offset: body.page_offset });
  return { dag_runs: await runAnswers(db, rows), ...offsetMembers(total) };
}

async function get(context: RestContext): Promise<unknown> {
  return freshRunAnswer(context.deps.db, context.param('dag_id'), context.param('dag_run_id'));
}

export const runRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags/:dag_id/dagRuns', handle: list, query: listQuery },
  { method: 'POST', path: '/dags/:dag_id/dagRuns/list', handle: batch, body: batchBody },
  { method: 'GET', path: '/dags/:dag_id/dagRuns/:dag_run_id', handle: get },
];
