/** Dags: lists, details, pausing, source, versions, tasks, tags, statistics, warnings. @see rest-api 4.1, 4.2, 5.6 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { DAG_RUN_STATES } from '@airlock/contract/states';
import { notify } from '@airlock/store';
import {
  countRunsByState,
  dagExtras,
  listTags,
  listWarnings,
  TAG_ORDER,
  WARNING_ORDER,
} from '@airlock/store/queries/rest-dag/corners';
import {
  DAG_ORDER,
  type DagFilters,
  type DagRow,
  dagExists,
  getDagRow,
  listDags,
} from '@airlock/store/queries/rest-dag/list';
import { setDagPaused, setDagsPaused } from '@airlock/store/queries/rest-dag/pause';
import {
  DAG_VERSION_ORDER,
  getDagSource,
  getDagVersion,
  getDagVersionsById,
  listDagVersions,
} from '@airlock/store/queries/rest-dag/versions';
import type { DagModel } from '../../domain/dag-model.ts';
import { JSON_TYPE } from '../http/errors.ts';
import { wireInstant } from '../http/instant.ts';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { many, wire } from '../http/wire.ts';
import { dagAnswer, dagDetails, taskAnswer, versionAnswer } from './dag-answer.ts';
import { instantRange, maskQuery, optionalOne, pageOf, pageQuery, patterns, rangeOf, sortKeys } from './list-query.ts';
import { modelOf, modelsOf } from './models.ts';
import { negotiate } from './negotiate.ts';
import type { RestContext, RestRoute } from './route.ts';
import { checkRunStates } from './state-words.ts';

export function dagNotFound(dagId: string): AppError {
  return new AppError('NOT_FOUND', { public: `The Dag with ID: \`${dagId}\` was not found` });
}

const filterQuery = {
  tags: many(wire.text()),
  tags_match_mode: optionalOne(wire.word(['any', 'all'])),
  owners: many(wire.text()),
  ...patterns('dag_id'),
  exclude_stale: optionalOne(wire.bool()),
  paused: optionalOne(wire.bool()),
};
const listQuery = z.object({
  ...pageQuery,
  ...filterQuery,
  ...patterns('dag_display_name'),
  has_import_errors: optionalOne(wire.bool()),
  last_dag_run_state: optionalOne(wire.word(DAG_RUN_STATES)),
  bundle_name: optionalOne(wire.text()),
  bundle_version: optionalOne(wire.text()),
  has_asset_schedule: optionalOne(wire.bool()),
  asset_dependency: optionalOne(wire.text()),
  is_favorite: optionalOne(wire.bool()),
  timetable_type: many(wire.text()),
  dag_run_state: many(wire.text()),
  ...instantRange('dag_run_start_date'),
  ...instantRange('dag_run_end_date'),
});
const bulkPauseQuery = z.object({ ...pageQuery, ...filterQuery, ...maskQuery.shape }).omit({ order_by: true });
const pauseBody = z.strictObject({ is_paused: wire.bool() });

async function answers(context: RestContext, rows: readonly DagRow[]): Promise<unknown[]> {
  const models = await modelsOf(
    context.deps.db,
    rows.map((row) => row.current_version_id),
  );
  return rows.map((row) => dagAnswer(row, models.get(row.current_version_id ?? '') ?? null));
}

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const filters: DagFilters = {
    visible: context.visible,
    tags: query.tags,
    tagsMatch: query.tags_match_mode,
    owners: query.owners,
    dagIdPattern: query.dag_id_pattern,
    dagIdPrefix: query.dag_id_prefix_pattern,
    displayNamePattern: query.dag_display_name_pattern,
    displayNamePrefix: query.dag_display_name_prefix_pattern,
    excludeStale: query.exclude_stale ?? true,
    paused: query.paused,
    hasImportErrors: query.has_import_errors,
    lastRunState: query.last_dag_run_state,
    runState: checkRunStates(query.dag_run_state).filter((state) => state !== null),
    runStartDate: rangeOf(query, 'dag_run_start_date'),
    runEndDate: rangeOf(query, 'dag_run_end_date'),
    bundleName: query.bundle_name,
    bundleVersion: query.bundle_version,
    timetableTypes: query.timetable_type,
    hasAssetSchedule: query.has_asset_schedule,
    assetDependency: query.asset_dependency,
    favoriteOf: query.is_favorite === undefined ? undefined : { user: context.user.name, is: query.is_favorite },
    nowIso: context.nowIso,
  };
  const order = sortKeys(query.order_by, DAG_ORDER, DAG_ORDER.dag_id!, ['dag_id']);
  const read = async () => {
    const { rows, total } = await listDags(context.deps.db, filters, { order, ...pageOf(context, query) });
    return Buffer.from(JSON.stringify({ dags: await answers(context, rows), total_entries: total }));
  };
  // Users of the same teams see the same Dags here; only the stars are a user's own.
  const reader = query.is_favorite === undefined ? '' : context.user.name;
  const key = JSON.stringify([context.visible, reader, context.request.url]);
  return context.reply.header('content-type', JSON_TYPE).send(await context.deps.sharedReads(key, read));
}

async function load(context: RestContext, dagId: string): Promise<DagRow> {
  const row = await getDagRow(context.deps.db, dagId);
  if (!row) throw dagNotFound(dagId);
  return row;
}

async function get(context: RestContext): Promise<unknown> {
  const row = await load(context, context.param('dag_id'));
  return (await answers(context, [row]))[0];
}

/** The newest version of a Dag, or 404. */
export async function loadModelOf(context: RestContext, dagId: string): Promise<DagModel> {
  const row = await load(context, dagId);
  const model = await modelOf(context.deps.db, row.current_version_id);
  if (!model) throw dagNotFound(dagId);
  return model;
}

async function details(context: RestContext): Promise<unknown> {
  const row = await load(context, context.param('dag_id'));
  const { db } = context.deps;
  const model = await modelOf(db, row.current_version_id);
  if (!model || row.current_version_id === null) throw dagNotFound(row.dag_id);
  const [extras, versions] = await Promise.all([
    dagExtras(db, row.dag_id, context.user.name),
    getDagVersionsById(db, [row.current_version_id]),
  ]);
  return dagDetails(row, model, extras, versions[0] ?? null, context.nowIso);
}

function checkPauseMask(mask: readonly string[]): void {
  if (mask.length > 0 && (mask.length !== 1 || mask[0] !== 'is_paused')) {
    throw new AppError('BAD_REQUEST', { public: 'Only `is_paused` field can be updated through the REST API' });
  }
}

async function patch(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const body = parseBody(pauseBody, context.request);
  checkPauseMask(parseQuery(maskQuery, context.request).update_mask);
  return context.mutate('patch_dag', { dagId }, async (tx) => {
    if (!(await setDagPaused(tx, dagId, body.is_paused))) {
      throw new AppError('NOT_FOUND', { public: `Dag with id: ${dagId} was not found` });
    }
    await notify(tx, { kind: 'schedule' });
    const row = await getDagRow(tx, dagId);
    return row && dagAnswer(row, await modelOf(tx, row.current_version_id));
  });
}

async function patchMany(context: RestContext): Promise<unknown> {
  const body = parseBody(pauseBody, context.request);
  const query = parseQuery(bulkPauseQuery, context.request);
  checkPauseMask(query.update_mask);
  // Without a pattern nothing matches: a slip of the hand must not pause a whole deployment.
  const none = query.dag_id_pattern === undefined && query.dag_id_prefix_pattern === undefined;
  if (none) return { dags: [], total_entries: 0 };
  const filters: DagFilters = {
    visible: context.visible,
    tags: query.tags,
    tagsMatch: query.tags_match_mode,
    owners: query.owners,
    dagIdPattern: query.dag_id_pattern,
    dagIdPrefix: query.dag_id_prefix_pattern,
    excludeStale: query.exclude_stale ?? true,
    paused: query.paused,
    nowIso: context.nowIso,
  };
  const order = sortKeys([], DAG_ORDER, DAG_ORDER.dag_id!, ['dag_id']);
  const changed = await context.mutate('patch_dags', {}, async (tx) => {
    const page = await listDags(tx, filters, { order, ...pageOf(context, query) });
    await setDagsPaused(tx, filters, body.is_paused);
    await notify(tx, { kind: 'schedule' });
    return page;
  });
  const rows = changed.rows.map((row) => ({ ...row, is_paused: body.is_paused }));
  return { dags: await answers(context, rows), total_entries: changed.total };
}

const tagsQuery = z.object({ ...pageQuery, ...patterns('tag_name') });

async function tags(context: RestContext): Promise<unknown> {
  const query = parseQuery(tagsQuery, context.request);
  const { rows, total } = await listTags(context.deps.db, {
    visible: context.visible,
    pattern: query.tag_name_pattern,
    prefix: query.tag_name_prefix_pattern,
    order: sortKeys(query.order_by, TAG_ORDER, TAG_ORDER.name!, ['name']),
    ...pageOf(context, query),
  });
  return { tags: rows.map((row) => row.name), total_entries: total };
}

const sourceQuery = z.object({ version_number: optionalOne(wire.int()) });

async function source(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const kind = negotiate(context.request.headers.accept, 'text/plain');
  const { version_number: version } = parseQuery(sourceQuery, context.request);
  const row = await getDagSource(context.deps.db, context.visible, dagId, version ?? null);
  if (!row) {
    const text =
      version === undefined
        ? `The Dag with ID: \`${dagId}\` was not found`
        : `The source code of the DAG ${dagId}, version_number ${version} was not found`;
    throw new AppError('NOT_FOUND', { public: text });
  }
  if (kind === 'other') {
    return context.reply.header('content-type', 'text/plain; charset=utf-8').send(row.source);
  }
  return {
    content: row.source,
    dag_id: dagId,
    version_number: row.version_number,
    dag_display_name: row.dag_display_name,
  };
}

const versionsQuery = z.object({
  ...pageQuery,
  version_number: many(wire.int()),
  bundle_name: optionalOne(wire.text()),
  bundle_version: optionalOne(wire.text()),
});

async function versions(context: RestContext): Promise<unknown> {
  const query = parseQuery(versionsQuery, context.request);
  const dagId = context.param('dag_id');
  if (dagId !== '~' && !(await dagExists(context.deps.db, dagId))) throw dagNotFound(dagId);
  const { rows, total } = await listDagVersions(context.deps.db, {
    visible: context.visible,
    dagId: dagId === '~' ? null : dagId,
    versionNumbers: query.version_number,
    bundleName: query.bundle_name,
    bundleVersion: query.bundle_version,
    order: sortKeys(query.order_by, DAG_VERSION_ORDER, DAG_VERSION_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { dag_versions: rows.map(versionAnswer), total_entries: total };
}

async function version(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const number = check(wire.int(), context.param('version_number'), ['path', 'version_number']);
  const row = await getDagVersion(context.deps.db, context.visible, dagId, number);
  if (!row) {
    const text = `The DagVersion with dag_id: \`${dagId}\` and version_number: \`${number}\` was not found`;
    throw new AppError('NOT_FOUND', { public: text });
  }
  return versionAnswer(row);
}

const tasksQuery = z.object({ order_by: optionalOne(wire.text()) });

async function tasks(context: RestContext): Promise<unknown> {
  const query = parseQuery(tasksQuery, context.request);
  const model = await loadModelOf(context, context.param('dag_id'));
  const name = (query.order_by ?? 'task_id').replace(/^-/, '');
  const sign = query.order_by?.startsWith('-') ? -1 : 1;
  const rows = [...model.tasks.values()].map((task) => taskAnswer(task, model));
  const sortable =
    rows.length === 0 || ['string', 'number', 'boolean'].includes(typeof rows[0]![name]) || rows[0]![name] === null;
  if (rows.length > 0 && (!Object.hasOwn(rows[0]!, name) || !sortable)) {
    const public_ = `'${name}' is not a valid attribute of a task, or can not be ordered by`;
    throw new AppError('BAD_REQUEST', { public: public_ });
  }
  const compare = (a: unknown, b: unknown): number => {
    // Nothing sorts last, and first when descending.
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    return (a as string) < (b as string) ? -1 : (a as string) > (b as string) ? 1 : 0;
  };
  rows.sort((a, b) => sign * compare(a[name] ?? null, b[name] ?? null));
  return { tasks: rows, total_entries: rows.length };
}

async function task(context: RestContext): Promise<unknown> {
  const model = await loadModelOf(context, context.param('dag_id'));
  const found = model.tasks.get(context.param('task_id'));
  if (!found) throw new AppError('NOT_FOUND', { public: `Task with id ${context.param('task_id')} was not found` });
  return taskAnswer(found, model);
}

const statsQuery = z.object({ dag_ids: many(wire.text()) });

async function stats(context: RestContext): Promise<unknown> {
  const { dag_ids: dagIds } = parseQuery(statsQuery, context.request);
  const counts = await countRunsByState(context.deps.db, context.visible, dagIds);
  const byDag = Map.groupBy(counts, (row) => row.dag_id);
  const dags = [...byDag].map(([dagId, rows]) => ({
    dag_id: dagId,
    dag_display_name: rows[0]!.dag_display_name,
    stats: DAG_RUN_STATES.map((state) => ({ state, count: rows.find((row) => row.state === state)?.n ?? 0 })),
  }));
  return { dags, total_entries: dags.length };
}

const warningsQuery = z.object({
  ...pageQuery,
  dag_id: optionalOne(wire.text()),
  warning_type: optionalOne(wire.word(['asset conflict', 'non-existent pool', 'runtime varying value'])),
});

async function warnings(context: RestContext): Promise<unknown> {
  const query = parseQuery(warningsQuery, context.request);
  const { rows, total } = await listWarnings(context.deps.db, {
    visible: context.visible,
    dagId: query.dag_id,
    type: query.warning_type,
    order: sortKeys(query.order_by, WARNING_ORDER, WARNING_ORDER.dag_id!, ['dag_id']),
    ...pageOf(context, query),
  });
  const dag_warnings = rows.map(({ at, ...row }) => ({ ...row, timestamp: wireInstant(at) }));
  return { dag_warnings, total_entries: total };
}

export const dagRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags', handle: list, query: listQuery },
  { method: 'PATCH', path: '/dags', handle: patchMany, query: bulkPauseQuery, body: pauseBody, event: 'patch_dags' },
  { method: 'GET', path: '/dags/:dag_id', handle: get },
  { method: 'GET', path: '/dags/:dag_id/details', handle: details },
  { method: 'PATCH', path: '/dags/:dag_id', handle: patch, query: maskQuery, body: pauseBody, event: 'patch_dag' },
  { method: 'GET', path: '/dagTags', handle: tags, query: tagsQuery },
  { method: 'GET', path: '/dagSources/:dag_id', handle: source, query: sourceQuery },
  { method: 'GET', path: '/dagStats', handle: stats, query: statsQuery },
  { method: 'GET', path: '/dags/:dag_id/dagVersions', handle: versions, query: versionsQuery },
  { method: 'GET', path: '/dags/:dag_id/dagVersions/:version_number', handle: version },
  { method: 'GET', path: '/dagWarnings', handle: warnings, query: warningsQuery },
  { method: 'GET', path: '/dags/:dag_id/tasks', handle: tasks, query: tasksQuery },
  { method: 'GET', path: '/dags/:dag_id/tasks/:task_id', handle: task },
];
