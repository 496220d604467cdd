/** Version, health, jobs, import errors and the audit log. @see rest-api 4.9, 5.17 */

import { FAILING_BUNDLES_HEADER } from '@airlock/contract/bundles';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { SANDBOX_TIERS } from '@airlock/contract/supervisor-api';
import { ALARM_HOURS, MAX_COUNTED_ALARMS, TOKEN_ALARMS_HEADER } from '@airlock/contract/token-alarms';
import {
  EVENT_LOG_ORDER,
  type EventLogRow,
  getEventLog,
  listEventLogs,
} from '@airlock/store/queries/rest-meta/event-logs';
import {
  countFailingBundles,
  countTokenAlarms,
  liveTiers,
  type NewestJob,
  newestJobs,
} from '@airlock/store/queries/rest-meta/health';
import {
  getImportError,
  IMPORT_ERROR_ORDER,
  type ImportErrorRow,
  listImportErrors,
} from '@airlock/store/queries/rest-meta/import-errors';
import { JOB_ORDER, listJobs } from '@airlock/store/queries/rest-meta/jobs';
import { ALL_ADMINS_HEADER } from '../../auth-managers/all-admins.ts';
import { offsetInstant, wireInstant } from '../http/instant.ts';
import { check, parseQuery } from '../http/validation.ts';
import { many, wire } from '../http/wire.ts';
import { jobAnswer } from './job-answer.ts';
import { instantRange, optionalOne, pageOf, pageQuery, patterns, rangeOf, sortKeys } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

/** What the wire is compatible with, and what this is. */
export const WIRE_VERSION = '3.3.2';
export const AIRLOCK_VERSION = '0.1.0';

async function version(context: RestContext): Promise<unknown> {
  context.reply.header('airlock-version', AIRLOCK_VERSION);
  return { version: WIRE_VERSION, git_version: null };
}

async function health(context: RestContext): Promise<unknown> {
  const { db, config, log } = context.deps;
  const signing = context.deps.signingWorks();
  let jobs: NewestJob[] = [];
  let metadatabase = 'healthy';
  if (config.core.simple_auth_manager_all_admins) context.reply.header(ALL_ADMINS_HEADER, 'on');
  try {
    const thresholdMs = config.scheduler.scheduler_health_check_threshold * 1000;
    const since = new Date(Date.parse(context.nowIso) - thresholdMs).toISOString();
    const dayAgo = new Date(Date.parse(context.nowIso) - ALARM_HOURS * 3_600_000).toISOString();
    const [newest, tiers, alarms, failingBundles] = await Promise.all([
      newestJobs(db, context.nowIso),
      liveTiers(db, since),
      countTokenAlarms(db, dayAgo, MAX_COUNTED_ALARMS),
      countFailingBundles(db),
    ]);
    jobs = newest;
    // Beside the body, which has no room for it: how strongly tasks are held apart here. The weakest worker counts.
    const weakest = SANDBOX_TIERS.findLast((tier) => tiers.includes(tier));
    if (weakest) context.reply.header('airlock-sandbox-tier', weakest);
    context.reply.header(TOKEN_ALARMS_HEADER, String(alarms));
    context.reply.header(FAILING_BUNDLES_HEADER, String(failingBundles));
    context.reply.header('airlock-token-binding', config.execution_api.token_binding);
  } catch (error) {
    log.warn({ err: error }, 'health: the database does not answer');
    metadatabase = 'unhealthy';
  }
  const part = (type: NewestJob['job_type'], threshold: number, never: string | null) => {
    const job = jobs.find((each) => each.job_type === type);
    if (!job) return { status: never, at: null };
    const healthy = job.state === 'running' && job.age < threshold;
    return { status: healthy ? 'healthy' : 'unhealthy', at: offsetInstant(job.latest_heartbeat) };
  };
  const scheduler = part('SchedulerJob', config.scheduler.scheduler_health_check_threshold, 'unhealthy');
  // The body has four parts and no room for a fifth. Without tokens no task can be given out, so the scheduler is not well.
  if (await signing) context.reply.header('airlock-signing', 'healthy');
  else {
    context.reply.header('airlock-signing', 'unhealthy');
    scheduler.status = 'unhealthy';
  }
  const triggerer = part('TriggererJob', config.triggerer.triggerer_health_check_threshold, null);
  const processor = part('DagProcessorJob', config.dag_processor.health_check_threshold, null);
  return {
    metadatabase: { status: metadatabase },
    scheduler: { status: scheduler.status, latest_scheduler_heartbeat: scheduler.at },
    triggerer: { status: triggerer.status, latest_triggerer_heartbeat: triggerer.at },
    dag_processor: { status: processor.status, latest_dag_processor_heartbeat: processor.at },
  };
}

const jobsQuery = z.object({
  ...pageQuery,
  is_alive: optionalOne(wire.bool()),
  job_state: optionalOne(wire.text()),
  job_type: optionalOne(wire.text()),
  hostname: optionalOne(wire.text()),
  executor_class: optionalOne(wire.text()),
  ...instantRange('start_date'),
  ...instantRange('end_date'),
});

async function jobs(context: RestContext): Promise<unknown> {
  const query = parseQuery(jobsQuery, context.request);
  const { rows, total } = await listJobs(context.deps.db, {
    nowIso: context.nowIso,
    jobType: query.job_type,
    state: query.job_state,
    hostname: query.hostname,
    startDate: rangeOf(query, 'start_date'),
    endDate: rangeOf(query, 'end_date'),
    order: sortKeys(query.order_by, JOB_ORDER, JOB_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  const threshold = context.deps.config.scheduler.scheduler_health_check_threshold * 1000;
  const isAlive = (row: (typeof rows)[number]) =>
    row.state === 'running' && Date.parse(context.nowIso) - Date.parse(wireInstant(row.latest_heartbeat)) < threshold;
  // The reference filters the page after it was cut, and any value of the parameter keeps only the living.
  const shown = query.is_alive === undefined ? rows : rows.filter(isAlive);
  return {
    jobs: shown.map(jobAnswer),
    total_entries: total,
  };
}

function importErrorAnswer(row: ImportErrorRow): Record<string, unknown> {
  return {
    import_error_id: row.id,
    timestamp: wireInstant(row.at),
    filename: row.filename,
    bundle_name: row.bundle_name,
    stack_trace: row.stack_trace,
  };
}

const importErrorsQuery = z.object({
  ...pageQuery,
  filename: optionalOne(wire.text()),
  bundle_name: optionalOne(wire.text()),
  ...patterns('filename'),
});

async function importErrors(context: RestContext): Promise<unknown> {
  const query = parseQuery(importErrorsQuery, context.request);
  const { rows, total } = await listImportErrors(context.deps.db, {
    visible: context.visible,
    filename: query.filename,
    bundleName: query.bundle_name,
    filenamePattern: query.filename_pattern,
    filenamePrefix: query.filename_prefix_pattern,
    order: sortKeys(query.order_by, IMPORT_ERROR_ORDER, IMPORT_ERROR_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { import_errors: rows.map(importErrorAnswer), total_entries: total };
}

async function importError(context: RestContext): Promise<unknown> {
  const id = check(wire.int(), context.param('import_error_id'), ['path', 'import_error_id']);
  const row = await getImportError(context.deps.db, context.visible, id);
  if (!row)
    throw new AppError('NOT_FOUND', { public: `The ImportError with import_error_id: \`${id}\` was not found` });
  return importErrorAnswer(row);
}

function eventLogAnswer(row: EventLogRow): Record<string, unknown> {
  return {
    event_log_id: row.id,
    when: wireInstant(row.at),
    dag_id: row.dag_id,
    task_id: row.task_id,
    run_id: row.run_id,
    map_index: row.map_index,
    try_number: row.try_number,
    event: row.event,
    logical_date: wireInstant(row.logical_date),
    owner: row.owner,
    extra: row.extra,
    dag_display_name: row.dag_display_name,
    task_display_name: row.task_id,
  };
}

const text = () => optionalOne(wire.text({ max: 2000 }));
const eventLogsQuery = z.object({
  ...pageQuery,
  dag_id: text(),
  task_id: text(),
  run_id: text(),
  owner: text(),
  event: text(),
  map_index: optionalOne(wire.int()),
  try_number: optionalOne(wire.int()),
  included_events: many(wire.text()),
  excluded_events: many(wire.text()),
  before: optionalOne(wire.instant()),
  after: optionalOne(wire.instant()),
  ...patterns('dag_id'),
  ...patterns('task_id'),
  ...patterns('run_id'),
  ...patterns('owner'),
  ...patterns('event'),
});

async function eventLogs(context: RestContext): Promise<unknown> {
  const query = parseQuery(eventLogsQuery, context.request);
  const columns = ['dag_id', 'task_id', 'run_id', 'owner', 'event'] as const;
  const pick = (suffix: string) =>
    Object.fromEntries(columns.map((name) => [name, (query as Record<string, unknown>)[name + suffix]])) as Partial<
      Record<(typeof columns)[number], string>
    >;
  const { rows, total } = await listEventLogs(context.deps.db, {
    seenBy: { visible: context.visible, name: context.user.name },
    equal: pick(''),
    pattern: pick('_pattern'),
    prefix: pick('_prefix_pattern'),
    mapIndex: query.map_index,
    tryNumber: query.try_number,
    included: query.included_events,
    excluded: query.excluded_events,
    before: query.before,
    after: query.after,
    order: sortKeys(query.order_by, EVENT_LOG_ORDER, EVENT_LOG_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { event_logs: rows.map(eventLogAnswer), total_entries: total };
}

async function eventLog(context: RestContext): Promise<unknown> {
  const given = context.param('event_log_id');
  if (!/^-?\d{1,15}$/.test(given)) {
    throw new AppError('BAD_REQUEST', { public: "'event_log_id' must be an integer" });
  }
  const seenBy = { visible: context.visible, name: context.user.name };
  const row = await getEventLog(context.deps.db, seenBy, Number(given));
  if (!row) throw new AppError('NOT_FOUND', { public: `The Event Log with id: \`${Number(given)}\` not found` });
  return eventLogAnswer(row);
}

export const metaRoutes: RestRoute[] = [
  { method: 'GET', path: '/version', handle: version },
  { method: 'GET', path: '/monitor/health', handle: health },
  { method: 'GET', path: '/jobs', handle: jobs, query: jobsQuery },
  { method: 'GET', path: '/importErrors', handle: importErrors, query: importErrorsQuery },
  { method: 'GET', path: '/importErrors/:import_error_id', handle: importError },
  { method: 'GET', path: '/eventLogs', handle: eventLogs, query: eventLogsQuery },
  { method: 'GET', path: '/eventLogs/:event_log_id', handle: eventLog },
];
