/** What a try does to and asks about itself and its run. @see execution API 3.5 to 3.7 */
import { AppError } from '@airlock/contract/errors';
import { findActiveAssets } from '@airlock/store/queries/asset/for-try';
import {
  pruneRenderedFields,
  setRenderedFields,
  setRenderedMapIndex,
} from '@airlock/store/queries/task-instance/fields';
import { findOwnTry } from '@airlock/store/queries/task-instance/heartbeat';
import { firstReschedule, previousSuccessfulRun, readModule } from '@airlock/store/queries/task-instance/reads';
import { skipDownstream } from '@airlock/store/queries/task-instance/skip';
import { readGraphVersion } from '@airlock/store/queries/task-instance/version';
import { findModel, loadModel } from '../../../runs/index.ts';
import { wireInstant } from '../../http/instant.ts';
import { check, parseBody } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import type { Call, ExecutionContext, Handler } from '../context.ts';
import { notEntitled, notFound, TRY_NOT_FOUND, tryArchived } from '../errors.ts';
import { bindingNeeds } from '../rights.ts';
import { skipBody } from '../schemas.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

export const setRtif: Handler = async (context, call) => {
  const fields = check(wire.object(), call.request.body, ['body']);
  const text = call.request.bodyText ?? JSON.stringify(fields);
  const row = await setRenderedFields(context.db, callerKey(call), text);
  if (!row?.changed) {
    const own = row ? null : await findOwnTry(context.db, callerKey(call));
    if (own?.archived) throw tryArchived();
    if (!row) throw notFound(TRY_NOT_FOUND);
    await requireLive(context, call, row);
  }
  const keepRuns = context.deps.config.core.num_dag_runs_to_retain_rendered_fields;
  if (row && keepRuns > 0 && Math.random() < PRUNE_SHARE) {
    await pruneRenderedFields(context.db, { dagId: row.dag_id, taskId: row.task_id, keepRuns });
  }
  return await answerLive(context, call, row!, {
    status: 201,
    body: { message: 'Rendered task instance fields successfully set' },
  });
};
/** Old fields are dropped by one in so many calls: each drops up to a hundred runs, so the rest stays bounded. */
const PRUNE_SHARE = 0.05;

export const renderedMapIndex: Handler = async (context, call) => {
  const label = check(wire.text(), call.request.body, ['body']);
  if (label === '') {
    throw new AppError('VALIDATION', { public: 'rendered_map_index cannot be empty' });
  }
  const row = await setRenderedMapIndex(context.db, callerKey(call), label);
  if (!row) throw new AppError('NOT_FOUND', { public: TRY_NOT_FOUND });
  return await answerLive(context, call, await requireLive(context, call, row), { status: 204 });
};

export const skip: Handler = async (context, call) => {
  const { tasks } = parseBody(skipBody, call.request);
  await checkDownstream(
    context,
    call,
    tasks.map((task) => task.taskId),
  );
  const row = await skipDownstream(context.db, callerKey(call), tasks);
  if (!row) throw notFound(TRY_NOT_FOUND);
  return await answerLive(context, call, await requireLive(context, call, row), { status: 204 });
};

/** A try that declares needs may skip what comes after it, and nothing else of its run. */
async function checkDownstream(context: ExecutionContext, call: Call, taskIds: readonly string[]): Promise<void> {
  const caller = await readGraphVersion(context.db, callerKey(call));
  if (!caller) throw notFound(TRY_NOT_FOUND);
  await requireLive(context, call, caller);
  if (bindingNeeds(context.rights, caller) === null) return;
  const { tasks } = await loadModel(context.db, caller.data);
  const after = new Set<string>();
  const queue = [...(tasks.get(caller.task_id)?.downstream ?? [])];
  for (let taskId = queue.pop(); taskId !== undefined; taskId = queue.pop()) {
    if (after.has(taskId)) continue;
    after.add(taskId);
    queue.push(...(tasks.get(taskId)?.downstream ?? []));
  }
  if (taskIds.some((taskId) => !after.has(taskId))) throw notEntitled('tasks that are not downstream of it');
}

/** The inlets and outlets of the caller's task that are not active. A Dag that can't be read has none. */
export const validateAssets: Handler = async (context, call) => {
  const caller = await requireLive(context, call, await readGraphVersion(context.db, callerKey(call)));
  const model = await findModel(context.db, caller.data);
  const named = new Map<string, { name: string; uri: string }>();
  for (const use of model?.assets ?? []) {
    if (use.taskId !== caller.task_id || use.kind !== 'asset') continue;
    named.set(JSON.stringify([use.name, use.uri]), { name: use.name, uri: use.uri });
  }
  for (const { name, uri } of await findActiveAssets(context.db, [...named.values()])) {
    named.delete(JSON.stringify([name, uri]));
  }
  const inactive = [...named.values()].map((asset) => ({ ...asset, type: 'Asset' }));
  return await answerLive(context, call, caller, { status: 200, body: { inactive_assets: inactive } });
};

export const previousSuccess: Handler = async (context, call) => {
  const row = await requireLive(context, call, await previousSuccessfulRun(context.db, callerKey(call)));
  const found = row.data;
  return await answerLive(context, call, row, {
    status: 200,
    body: {
      data_interval_start: wireInstant(found?.data_interval_start ?? null),
      data_interval_end: wireInstant(found?.data_interval_end ?? null),
      start_date: wireInstant(found?.start_date ?? null),
      end_date: wireInstant(found?.end_date ?? null),
    },
  });
};

export const rescheduleStart: Handler = async (context, call) => {
  const row = await requireLive(context, call, await firstReschedule(context.db, callerKey(call)));
  return await answerLive(context, call, row, { status: 200, body: wireInstant(row.data) });
};

/** The bundled module of the try's own Dag version; what a runner loads. */
export const dagModule: Handler = async (context, call) => {
  const row = await requireLive(context, call, await readModule(context.db, callerKey(call)));
  if (!row.data) throw notFound('This Dag version has no module');
  const etag = `"${row.data.hash}"`;
  if (call.request.headers['if-none-match'] === etag) {
    return await answerLive(context, call, row, { status: 304, headers: { etag } });
  }
  return await answerLive(context, call, row, {
    status: 200,
    text: row.data.code,
    headers: { etag, 'content-type': 'text/javascript' },
  });
};
