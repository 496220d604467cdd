/** What is told about one task instance besides its row: why it waits, and where its links lead. @see rest-api 4.4 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { getTaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import { listTries } from '@airlock/store/queries/rest-task/tries';
import { getXCom } from '@airlock/store/queries/rest-xcom/read';
import { findRunToDecide } from '@airlock/store/queries/schedule/load-runs';
import { roomOf } from '@airlock/store/queries/schedule/room';
import { readSnapshots } from '../../scheduler/snapshot.ts';
import { whyWaiting } from '../../scheduler/why-waiting.ts';
import { check, parseQuery } from '../http/validation.ts';
import { one, wire } from '../http/wire.ts';
import { optionalOne } from './list-query.ts';
import { modelOf, modelsOf } from './models.ts';
import type { RestContext, RestRoute } from './route.ts';
import { listedNotFound } from './task-answer.ts';
import { keyOf, pathMapIndex } from './tasks.ts';

const mapIndexQuery = z.object({ map_index: one(wire.int()).default(-1) });

async function dependencies(context: RestContext, mapIndex: number): Promise<unknown> {
  const { db, clock } = context.deps;
  const key = keyOf(context, mapIndex);
  const ti = await getTaskInstanceRow(db, key);
  if (!ti) throw listedNotFound(key, mapIndex);
  const run = await findRunToDecide(db, key.dagId, key.runId);
  if ((ti.state !== null && ti.state !== 'scheduled') || !run) return { dependencies: [] };
  const models = await modelsOf(db, [run.version_id]);
  const snapshot = (await readSnapshots(db, [run], models, clock.nowMs())).get(run.id);
  if (!snapshot) return { dependencies: [] };
  const here = { taskId: key.taskId, mapIndex, state: ti.state } as const;
  return { dependencies: whyWaiting(snapshot, run.state, here, await roomOf(db, ti.id)) };
}

const linksQuery = mapIndexQuery.extend({ try_number: optionalOne(wire.int()) });

/** A task's own text: only what a browser may be sent to counts as a link. */
function safeUrl(stored: string | null | undefined): string | null {
  const value: unknown = stored === null || stored === undefined ? null : JSON.parse(stored);
  if (typeof value !== 'string' || !URL.canParse(value)) return null;
  return /^https?:$/.test(new URL(value).protocol) ? value : null;
}

async function links(context: RestContext): Promise<unknown> {
  const query = parseQuery(linksQuery, context.request);
  const { db } = context.deps;
  const key = keyOf(context, query.map_index);
  const ti = await getTaskInstanceRow(db, key);
  if (!ti) throw new AppError('NOT_FOUND', { public: 'TaskInstance not found' });
  const task = (await modelOf(db, ti.dag_version_id))?.tasks.get(key.taskId);
  if (!task) throw new AppError('NOT_FOUND', { public: `Task with ID = ${key.taskId} not found` });
  const past = query.try_number !== undefined && query.try_number !== ti.try_number;
  if (past && !(await listTries(db, key)).some((each) => each.try_number === query.try_number)) {
    const text = `TaskInstanceHistory not found for try_number=${query.try_number}`;
    throw new AppError('NOT_FOUND', { public: text });
  }
  const keys = Object.entries((task.document._operator_extra_links ?? {}) as Record<string, unknown>).sort();
  const found: Array<[string, string | null]> = [];
  for (const [name, xcomKey] of keys) {
    const row = typeof xcomKey === 'string' ? await getXCom(db, { ...key, key: xcomKey }) : null;
    found.push([name, safeUrl(row?.value)]);
  }
  return { extra_links: Object.fromEntries(found), total_entries: found.length };
}

/** Logs are kept here and nowhere else. */
async function externalLogUrl(context: RestContext): Promise<never> {
  check(wire.int({ gt: 0 }), context.param('try_number'), ['path', 'try_number']);
  parseQuery(mapIndexQuery, context.request);
  throw new AppError('BAD_REQUEST', { public: 'Task log handler does not support external logs.' });
}

const TI = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances/:task_id';
export const taskFactRoutes: RestRoute[] = [
  {
    method: 'GET',
    path: `${TI}/dependencies`,
    handle: (context) => dependencies(context, parseQuery(mapIndexQuery, context.request).map_index),
    query: mapIndexQuery,
  },
  {
    method: 'GET',
    path: `${TI}/:map_index/dependencies`,
    handle: (context) => dependencies(context, pathMapIndex(context)),
  },
  { method: 'GET', path: `${TI}/links`, handle: links, query: linksQuery },
  { method: 'GET', path: `${TI}/externalLogUrl/:try_number`, handle: externalLogUrl, query: mapIndexQuery },
];
