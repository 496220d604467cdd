/** XComs: values are the JSON text that was sent, never parsed here. @see execution API 3.11 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { readForCallback } from '@airlock/store/queries/callback/by-worker';
import { readForCaller } from '@airlock/store/queries/task-instance/reads';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import {
  mayReadXComOfRun as mayReadXComOfRunSql,
  mayReadXCom as mayReadXComSql,
  type XComTarget,
} from '@airlock/store/queries/token/rights';
import { type XComQuestion, xcomCount, xcomItem, xcomList, xcomValue } from '@airlock/store/queries/xcom/read';
import { deleteXCom, setXCom } from '@airlock/store/queries/xcom/write';
import { check, parseQuery } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import type { Answer, Call, ExecutionContext, Handler } from '../context.ts';
import { notEntitled, notFound, notLiveCallback } from '../errors.ts';
import { mayReadXCom, mayReadXComOfRun, mayWriteXCom } from '../rights.ts';
import { pythonSlice } from '../slice.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

const mapIndex = one(wire.int({ ge: -1 })).optional();
const readQuery = z.object({
  map_index: mapIndex,
  include_prior_dates: one(wire.bool()).optional(),
  offset: one(wire.int()).optional(),
});
const sliceQuery = z.object({
  start: one(wire.int()).optional(),
  stop: one(wire.int()).optional(),
  step: one(wire.int()).optional(),
  include_prior_dates: one(wire.bool()).optional(),
});
const writeQuery = z.object({
  map_index: mapIndex,
  dag_result: one(wire.bool()).optional(),
  mapped_length: one(wire.int({ ge: 0 })).optional(),
});
const MAX_KEY = 512;

type Place = { readonly dagId: string; readonly runId: string; readonly taskId: string; readonly key: string };

function placeOf(call: Call, key = call.params['*'] ?? ''): Place {
  check(z.object({ key: wire.text({ min: 1, max: MAX_KEY }) }), { key }, ['path']);
  const {
    dag_id: dagId,
    run_id: runId,
    task_id: taskId,
  } = call.params as Record<'dag_id' | 'run_id' | 'task_id', string>;
  return { dagId, runId, taskId, key };
}

const DENIED = 'this XCom';

/** Who reads: finds out whether it may, and how it is answered. @throws TOKEN_INVALID · NOT_ENTITLED */
export type XComReader = <T>(
  context: ExecutionContext,
  call: Call,
  target: XComTarget,
  question: XComQuestion<T>,
) => Promise<{
  readonly data: T | null;
  readonly answer: (answer: Omit<Answer, 'refreshed'>) => Promise<Answer>;
}>;

/** A try reads by its needs, or as its team may. */
const byTry: XComReader = async <T>(
  context: ExecutionContext,
  call: Call,
  target: XComTarget,
  question: XComQuestion<T>,
) => {
  const allowed = mayReadXComSql(context.rights, target);
  const row = await readForCaller<T | null>(context.db, callerKey(call), { ...question, allowed });
  const live = await requireLive(context, call, row);
  if (!live.allowed || !mayReadXCom(context.rights, live, target)) throw notEntitled(DENIED);
  await noteRead(context, live, target);
  return { data: live.data, answer: (answer) => answerLive(context, call, live, answer) };
};

/** A callback reads what its run has left. @see docs/decisions/0021-callbacks-are-workloads.md */
const byCallback: XComReader = async <T>(
  context: ExecutionContext,
  call: Call,
  target: XComTarget,
  question: XComQuestion<T>,
) => {
  const allowed = mayReadXComOfRunSql(context.rights, target);
  const row = await readForCallback<T>(context.db, callerKey(call), { ...question, allowed });
  if (!row?.live) throw notLiveCallback();
  if (!row.allowed || !mayReadXComOfRun(context.rights, row, target)) throw notEntitled(DENIED);
  return { data: row.data, answer: async (answer) => ({ ...answer, refreshed: null }) };
};

/** Reads beyond the own task: those that needs can say, and others. */
async function noteRead(context: ExecutionContext, caller: CallerRow, target: XComTarget): Promise<void> {
  const ownRun = target.dagId === caller.dag_id && target.runId === caller.run_id && !target.priorDates;
  if (ownRun && target.taskId === caller.task_id) return;
  if (ownRun) await context.uses.note(caller, 'xcoms', target.taskId);
  else await context.uses.note(caller, 'xcom_reads', `${target.dagId}.${target.taskId}`);
}

async function noteWrite(context: ExecutionContext, caller: CallerRow, target: XComTarget): Promise<void> {
  const { dagId, runId, taskId, mapIndex } = target;
  const own = dagId === caller.dag_id && runId === caller.run_id && taskId === caller.task_id;
  if (!own || mapIndex !== caller.map_index) await context.uses.note(caller, 'xcom_writes', `${dagId}.${taskId}`);
}

const shown = (place: Place, which: string): string =>
  `XCom with key='${place.key}' ${which} not found for task '${place.taskId}' in DAG run '${place.runId}' of '${place.dagId}'`;

const valueBody = (key: string, text: string | null): string =>
  `{"key":${JSON.stringify(key)},"value":${text ?? 'null'}}`;

/** `…/{key}`, `…/{key}/item/{n}` and `…/{key}/slice`: the suffixes win over a key that ends like them. */
const getBy =
  (read: XComReader): Handler =>
  async (context, call) => {
    const rest = call.params['*'] ?? '';
    const item = /^(.+)\/item\/([^/]*)$/s.exec(rest);
    if (item) return await getItem(read, context, call, placeOf(call, item[1]), item[2]!);
    const slice = /^(.+)\/slice$/s.exec(rest);
    if (slice) return await getSlice(read, context, call, placeOf(call, slice[1]));
    return await getValue(read, context, call, placeOf(call));
  };

const getValue = async (read: XComReader, context: ExecutionContext, call: Call, place: Place) => {
  const query = parseQuery(readQuery, call.request);
  const priorDates = query.include_prior_dates ?? false;
  const { offset } = query;
  const mapIndex = offset === undefined ? (query.map_index ?? -1) : null;
  const target = { ...place, mapIndex, priorDates };
  const question = offset === undefined ? xcomValue(target) : xcomItem({ ...target, offset, skipNulls: true });
  const { data, answer } = await read(context, call, target, question);
  if (!data) throw notFound(shown(place, offset === undefined ? `map_index=${mapIndex}` : `offset=${offset}`));
  return await answer({ status: 200, text: valueBody(place.key, data.text) });
};

const getItem = async (read: XComReader, context: ExecutionContext, call: Call, place: Place, offsetText: string) => {
  const { offset } = check(z.object({ offset: wire.int() }), { offset: offsetText }, ['path']);
  const target = { ...place, mapIndex: null };
  const { data, answer } = await read(context, call, target, xcomItem({ ...target, offset, skipNulls: false }));
  if (!data) throw notFound(shown(place, `offset=${offset}`));
  return await answer({ status: 200, text: data.text ?? 'null' });
};

const getSlice = async (read: XComReader, context: ExecutionContext, call: Call, place: Place) => {
  const query = parseQuery(sliceQuery, call.request);
  const target = { ...place, mapIndex: null, priorDates: query.include_prior_dates ?? false };
  const { data, answer } = await read(context, call, target, xcomList(target));
  const texts = pythonSlice(data ?? [], query);
  return await answer({ status: 200, text: `[${texts.join(',')}]`, rows: texts.length });
};

const headBy =
  (read: XComReader): Handler =>
  async (context, call) => {
    const place = placeOf(call);
    if (parseQuery(readQuery, call.request).map_index !== undefined) {
      throw new AppError('BAD_REQUEST', { public: 'map_index is not allowed on HEAD' });
    }
    const target = { ...place, mapIndex: null };
    const { data, answer } = await read(context, call, target, xcomCount(target));
    return await answer({ status: 200, headers: { 'content-range': `map_indexes ${data ?? 0}` } });
  };

export const get = getBy(byTry);
export const head = headBy(byTry);
/** The same for a callback, which may also be that of a task. */
export const getForCallback = getBy(byCallback);
export const headForCallback = headBy(byCallback);

export const set: Handler = async (context, call) => {
  const place = placeOf(call);
  const query = parseQuery(writeQuery, call.request);
  const target = { ...place, mapIndex: query.map_index ?? -1 };
  if (!call.request.bodyIsJson) {
    throw new AppError('VALIDATION', { public: 'The body must be JSON', detail: [NOT_JSON] });
  }
  if (query.mapped_length !== undefined && query.mapped_length > context.deps.config.core.max_map_length) {
    const message = "pushed value is too large to map as a downstream's dependency";
    const detail = { reason: 'unmappable_return_value_length', message };
    throw new AppError('BAD_REQUEST', { public: message, detail });
  }
  const row = await requireLive(
    context,
    call,
    await setXCom(
      context.db,
      callerKey(call),
      target,
      {
        valueJson: call.request.bodyText ?? 'null',
        dagResult: query.dag_result ?? false,
        mappedLength: query.mapped_length ?? null,
      },
      context.rights,
    ),
  );
  if (!row.allowed || !mayWriteXCom(context.rights, row, target)) throw notEntitled(DENIED);
  await noteWrite(context, row, target);
  if (!row.run_found) {
    throw new AppError('NOT_FOUND', { public: `DAG run not found on DAG '${place.dagId}' with ID '${place.runId}'` });
  }
  if (!row.written) throw notFound(`Task instance '${place.taskId}' with map_index=${target.mapIndex} not found`);
  return await answerLive(context, call, row, { status: 201, body: { message: 'XCom successfully set' } });
};

const NOT_JSON = {
  type: 'json_type',
  loc: ['body'],
  msg: 'The body must be sent as application/json',
  input: null,
} as const;

export const remove: Handler = async (context, call) => {
  const place = placeOf(call);
  const target = { ...place, mapIndex: parseQuery(writeQuery, call.request).map_index ?? -1 };
  const row = await requireLive(context, call, await deleteXCom(context.db, callerKey(call), target, context.rights));
  if (!row.allowed || !mayWriteXCom(context.rights, row, target)) throw notEntitled(DENIED);
  await noteWrite(context, row, target);
  return await answerLive(context, call, row, {
    status: 200,
    body: { message: `XCom with key: ${place.key} successfully deleted.` },
  });
};
