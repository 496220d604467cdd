/** Backfills. @see rest-api 4.8, 5.15 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { cancelBackfill, setBackfillPaused } from '@airlock/store/queries/backfill/change';
import { BACKFILL_ORDER, type BackfillRow, getBackfill, listBackfills } from '@airlock/store/queries/backfill/get';
import { getTeamOfDag } from '@airlock/store/queries/team/of-dag';
import type { Method } from '../../auth-managers/auth-manager.ts';
import { instantIsoOrNull } from '../../domain/instants.ts';
import { askForBackfill } from '../../runs/asked-timetables.ts';
import { type BackfillRequest, createBackfill, planBackfill } from '../../runs/index.ts';
import { exactMember } from '../http/exact-member.ts';
import { wireInstant } from '../http/instant.ts';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { pageOf, pageQuery, sortKeys } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

const createBody = z.strictObject({
  dag_id: wire.text(),
  from_date: wire.instant(),
  to_date: wire.instant(),
  run_backwards: wire.bool().default(false),
  dag_run_conf: wire.object().nullish(),
  reprocess_behavior: wire.word(['failed', 'completed', 'none']).default('none'),
  max_active_runs: wire.int({ ge: 1 }).default(10),
  run_on_latest_version: wire.bool().nullish(),
});
const listQuery = z.object({ ...pageQuery, dag_id: wire.text() });

const instantOrNull = (at: string | null) => (at === null ? null : wireInstant(at));

function answer(row: BackfillRow): unknown {
  return {
    id: row.id,
    dag_id: row.dag_id,
    from_date: wireInstant(row.from_date),
    to_date: wireInstant(row.to_date),
    dag_run_conf: row.dag_run_conf,
    is_paused: row.is_paused,
    reprocess_behavior: row.reprocess_behavior,
    max_active_runs: row.max_active_runs,
    created_at: wireInstant(row.created_at),
    completed_at: instantOrNull(row.completed_at),
    updated_at: wireInstant(row.updated_at),
    dag_display_name: row.dag_display_name,
  };
}

const notFound = () => new AppError('NOT_FOUND', { public: 'Backfill not found' });

/** The team of a Dag decides, as where the path names it; one of another team is as if it were not there. */
async function maySee(context: RestContext, method: Method, dagId: string): Promise<boolean> {
  const dag = await getTeamOfDag(context.deps.db, dagId);
  return dag !== null && context.may({ resource: 'run', method, item: dagId, team: dag.team });
}

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const order = sortKeys(query.order_by, BACKFILL_ORDER, BACKFILL_ORDER.id!, ['id']);
  const page = { order, ...pageOf(context, query) };
  if (!(await maySee(context, 'GET', query.dag_id))) return { backfills: [], total_entries: 0 };
  const { rows, total } = await listBackfills(context.deps.db, query.dag_id, page);
  return { backfills: rows.map(answer), total_entries: total };
}

function idOf(context: RestContext): number {
  return check(wire.int({ ge: 0 }), context.param('backfill_id'), ['path', 'backfill_id']);
}

async function load(context: RestContext, method: Method): Promise<BackfillRow> {
  const row = await getBackfill(context.deps.db, idOf(context));
  if (!row || !context.may({ resource: 'run', method, item: row.dag_id, team: row.team })) throw notFound();
  return row;
}

const get = async (context: RestContext): Promise<unknown> => answer(await load(context, 'GET'));

const requestOf = async (context: RestContext): Promise<BackfillRequest> => {
  const given = parseBody(createBody, context.request);
  await checkDag(context, given.dag_id);
  const asked = await askForBackfill(context.deps, {
    dagId: given.dag_id,
    fromDate: given.from_date,
    toDate: given.to_date,
    nowIso: context.nowIso,
  });
  return {
    asked,
    dagId: given.dag_id,
    fromDate: given.from_date,
    toDate: given.to_date,
    backwards: given.run_backwards,
    conf: exactMember(context.request.bodyText, 'dag_run_conf', given.dag_run_conf) ?? null,
    reprocess: given.reprocess_behavior as BackfillRequest['reprocess'],
    maxActiveRuns: given.max_active_runs,
    runOnLatestVersion: given.run_on_latest_version ?? null,
    rerunWithLatestVersion: context.deps.config.core.rerun_with_latest_version,
    user: context.user.name,
    nowIso: context.nowIso,
  };
};

async function checkDag(context: RestContext, dagId: string): Promise<void> {
  if (await maySee(context, 'POST', dagId)) return;
  throw new AppError('NOT_FOUND', { public: `Could not find dag ${dagId}` });
}

async function create(context: RestContext): Promise<unknown> {
  const request = await requestOf(context);
  return context.mutate('create_backfill', { dagId: request.dagId }, async (tx) =>
    answer((await getBackfill(tx, await createBackfill(tx, request)))!),
  );
}

async function dryRun(context: RestContext): Promise<unknown> {
  const request = await requestOf(context);
  const plan = await context.deps.db.transaction((tx) => planBackfill(tx, request));
  const backfills = plan.map(({ next }) => ({
    logical_date: instantOrNull(instantIsoOrNull(next.logicalDateMs)),
    partition_key: next.partition?.key ?? null,
    partition_date: instantOrNull(instantIsoOrNull(next.partition?.dateMs ?? null)),
  }));
  return { backfills, total_entries: backfills.length };
}

/** Pauses, unpauses or cancels one that is not complete. */
function change(
  event: string,
  work: (tx: Parameters<typeof cancelBackfill>[0], id: number, nowIso: string) => Promise<boolean>,
) {
  return async (context: RestContext): Promise<unknown> => {
    const { id, dag_id: dagId } = await load(context, 'PUT');
    return context.mutate(event, { dagId }, async (tx) => {
      if (!(await work(tx, id, context.nowIso))) {
        throw new AppError('CONFLICT', { public: 'Backfill is already completed.' });
      }
      return answer((await getBackfill(tx, id))!);
    });
  };
}

const pause = change('pause_backfill', (tx, id, nowIso) => setBackfillPaused(tx, { id, paused: true, nowIso }));
const unpause = change('unpause_backfill', (tx, id, nowIso) => setBackfillPaused(tx, { id, paused: false, nowIso }));
const cancel = change('cancel_backfill', (tx, id, nowIso) => cancelBackfill(tx, { id, nowIso }));

const ONE = '/backfills/:backfill_id';
export const backfillRoutes: RestRoute[] = [
  { method: 'GET', path: '/backfills', handle: list, query: listQuery },
  { method: 'POST', path: '/backfills', handle: create, body: createBody, event: 'create_backfill' },
  { method: 'POST', path: '/backfills/dry_run', handle: dryRun, body: createBody },
  { method: 'GET', path: ONE, handle: get },
  { method: 'PUT', path: `${ONE}/pause`, handle: pause, event: 'pause_backfill' },
  { method: 'PUT', path: `${ONE}/unpause`, handle: unpause, event: 'unpause_backfill' },
  { method: 'PUT', path: `${ONE}/cancel`, handle: cancel, event: 'cancel_backfill' },
];
