/** Requests of tasks to people, and people's answers. @see rest-api 4.4, 5.13; promise L34 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import {
  answerHitl,
  findTryId,
  getHitlDetail,
  HITL_ORDER,
  type HitlDetailRow,
  listHitlDetails,
  lockHitlDetail,
} from '@airlock/store/queries/rest-hitl/list';
import { getTaskInstanceRow, getTaskInstancesById } from '@airlock/store/queries/rest-task/list';
import { resumeAnswered } from '../../runs/index.ts';
import { wireInstant } from '../http/instant.ts';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { many, wire } from '../http/wire.ts';
import { instantRange, optionalOne, pageOf, pageQuery, patterns, rangeOf, sortKeys } from './list-query.ts';
import { pythonRepr } from './python-json.ts';
import type { RestContext, RestRoute } from './route.ts';
import { checkTaskStates } from './state-words.ts';
import { indexedNotFound, taskAnswers } from './task-answer.ts';
import { keyOf, pathMapIndex, triesOf } from './tasks.ts';

/** A plain value is shown as a parameter that has it. */
function paramAnswer(value: unknown): unknown {
  const isParam =
    typeof value === 'object' &&
    value !== null &&
    ['description', 'schema', 'value'].every((name) => Object.hasOwn(value, name));
  return isParam ? value : { value, description: null, schema: {} };
}

function answer(row: HitlDetailRow, taskInstance: unknown): Record<string, unknown> {
  const by = row.responded_by_id;
  return {
    options: row.options,
    subject: row.subject,
    body: row.body,
    defaults: row.defaults,
    multiple: row.multiple,
    params: Object.fromEntries(Object.entries(row.params).map(([name, value]) => [name, paramAnswer(value)])),
    assigned_users: row.assigned_users,
    created_at: wireInstant(row.created_at),
    responded_by_user: by === null ? null : { id: by, name: row.responded_by_name ?? by },
    responded_at: wireInstant(row.responded_at),
    chosen_options: row.chosen_options,
    params_input: row.params_input ?? {},
    response_received: row.responded_at !== null,
    task_instance: taskInstance,
  };
}

async function answers(db: Db, rows: readonly HitlDetailRow[]): Promise<unknown[]> {
  const tasks = await getTaskInstancesById(
    db,
    rows.map((row) => row.ti_id),
  );
  const shown = new Map((await taskAnswers(db, tasks)).map((task) => [task.id, task]));
  return rows.map((row) => answer(row, shown.get(row.ti_id)));
}

const listQuery = z.object({
  ...pageQuery,
  ...patterns('dag_id'),
  task_id: optionalOne(wire.text()),
  ...patterns('task_id'),
  map_index: many(wire.int()),
  state: many(wire.text()),
  response_received: optionalOne(wire.bool()),
  responded_by_user_id: many(wire.text()),
  responded_by_user_name: many(wire.text()),
  subject_search: optionalOne(wire.text({ max: 2000 })),
  body_search: optionalOne(wire.text({ max: 2000 })),
  ...instantRange('created_at'),
});

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const named = (name: string) => (context.param(name) === '~' ? null : context.param(name));
  const { rows, total } = await listHitlDetails(
    context.deps.db,
    {
      visible: context.visible,
      dagId: named('dag_id'),
      runId: named('dag_run_id'),
      dagIdPattern: query.dag_id_pattern,
      dagIdPrefix: query.dag_id_prefix_pattern,
      taskId: query.task_id,
      taskIdPattern: query.task_id_pattern,
      taskIdPrefix: query.task_id_prefix_pattern,
      mapIndexes: query.map_index,
      states: checkTaskStates(query.state),
      answered: query.response_received,
      respondedById: query.responded_by_user_id,
      respondedByName: query.responded_by_user_name,
      subject: query.subject_search,
      body: query.body_search,
      createdAt: rangeOf(query, 'created_at'),
    },
    { order: sortKeys(query.order_by, HITL_ORDER, HITL_ORDER.ti_id!, ['ti_id']), ...pageOf(context, query) },
  );
  return { hitl_details: await answers(context.deps.db, rows), total_entries: total };
}

function noRequest(tiId: string): AppError {
  const text = `Human-in-the-loop detail does not exist for Task Instance with id ${tiId}`;
  return new AppError('NOT_FOUND', { public: text });
}

/** The current try that the path names. @throws NOT_FOUND */
async function currentTry(context: RestContext): Promise<{ readonly id: string }> {
  const key = keyOf(context, pathMapIndex(context));
  const row = await getTaskInstanceRow(context.deps.db, key);
  if (!row) throw new AppError('NOT_FOUND', { public: indexedNotFound(key, key.mapIndex) });
  return row;
}

async function get(context: RestContext): Promise<unknown> {
  const { id } = await currentTry(context);
  const row = await getHitlDetail(context.deps.db, id);
  if (!row) throw noRequest(id);
  return (await answers(context.deps.db, [row]))[0];
}

async function getOfTry(context: RestContext): Promise<unknown> {
  const number = check(wire.int(), context.param('try_number'), ['path', 'try_number']);
  const key = keyOf(context, pathMapIndex(context));
  const id = await findTryId(context.deps.db, key, number);
  if (id === null) throw new AppError('NOT_FOUND', { public: indexedNotFound(key, key.mapIndex) });
  const row = await getHitlDetail(context.deps.db, id);
  if (!row) throw noRequest(id);
  const { tries } = await triesOf(context, key.mapIndex);
  return answer(row, tries.findLast((each) => each.try_number === number) ?? null);
}

const options = z.array(wire.text({ max: 1000 })).max(1000);
// Unknown members are ignored here, as in the reference.
const answerBody = z.object({ chosen_options: options.min(1), params_input: wire.object().default({}) });

/** What is wrong with an answer to this request, in the reference's order. */
function refusalOf(context: RestContext, request: HitlDetailRow, chosen: readonly string[]): AppError | null {
  const { name } = context.user;
  if (request.responded_at !== null) {
    return new AppError('CONFLICT', {
      public: `Human-in-the-loop detail has already been updated for Task Instance with id ${request.ti_id} and is not allowed to write again.`,
    });
  }
  const assigned = request.assigned_users.map((user) => user.id);
  if (!context.deps.auth.mayAnswer(context.user, assigned)) {
    return new AppError('FORBIDDEN', { public: `User=${name} (id=${name}) is not a respondent for the task.` });
  }
  const unknown = [...new Set(chosen)].filter((option) => !request.options.includes(option)).sort();
  if (unknown.length > 0) {
    const allowed = pythonRepr([...request.options].sort());
    return new AppError('BAD_REQUEST', {
      public: `Invalid options ${pythonRepr(unknown)}; allowed options are ${allowed}.`,
    });
  }
  if (!request.multiple && chosen.length > 1) {
    return new AppError('BAD_REQUEST', {
      public: 'Multiple options chosen but this Human-in-the-loop task accepts only a single option.',
    });
  }
  return null;
}

async function respond(context: RestContext): Promise<unknown> {
  const body = parseBody(answerBody, context.request);
  const { dagId, runId, taskId, mapIndex } = keyOf(context, pathMapIndex(context));
  const { id } = await currentTry(context);
  const by = { id: context.user.name, name: context.user.name };
  return context.mutate('update_hitl_detail', { dagId, runId, taskId, mapIndex }, async (tx) => {
    const locked = await lockHitlDetail(tx, id);
    if (!locked?.request) throw noRequest(id);
    const refusal = refusalOf(context, locked.request, body.chosen_options);
    if (refusal) throw refusal;
    const { chosen_options: chosenOptions, params_input: paramsInput } = body;
    await answerHitl(tx, id, { by, chosenOptions, paramsInput, nowIso: context.nowIso });
    await resumeAnswered(tx, { ids: [id], nowIso: context.nowIso });
    return {
      responded_by: by,
      responded_at: context.nowIso,
      chosen_options: chosenOptions,
      params_input: paramsInput,
    };
  });
}

const RUN = '/dags/:dag_id/dagRuns/:dag_run_id';
const ONE = `${RUN}/taskInstances/:task_id/:map_index/hitlDetails`;
export const hitlRoutes: RestRoute[] = [
  { method: 'GET', path: `${RUN}/hitlDetails`, handle: list, query: listQuery },
  { method: 'GET', path: ONE, handle: get },
  {
    method: 'PATCH',
    path: ONE,
    handle: respond,
    body: answerBody,
    event: 'update_hitl_detail',
    audit: { hideValues: ['params_input'] },
  },
  { method: 'GET', path: `${ONE}/tries/:try_number`, handle: getOfTry },
];
