/** Counting and listing task instances. @see execution API 3.8 */

import { z } from '@airlock/contract/schema';
import { TASK_INSTANCE_STATES } from '@airlock/contract/states';
import { currentVersionOf } from '@airlock/store/queries/task-instance/dag-version';
import { countInstances, type InstanceFilter, listInstanceStates } from '@airlock/store/queries/task-instance/reads';
import { mayReadStates as mayReadSql } from '@airlock/store/queries/token/rights';
import { tasksOfGroup } from '../../../domain/mapping.ts';
import { loadModel } from '../../../runs/index.ts';
import { parseQuery } from '../../http/validation.ts';
import { many, one, wire } from '../../http/wire.ts';
import type { Call, ExecutionContext, Handler } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { mayReadStates } from '../rights.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';
import { noteStates } from '../uses.ts';

const common = {
  dag_id: one(wire.text()),
  map_index: one(wire.int()).optional(),
  task_ids: many(wire.text()),
  task_group_id: one(wire.text()).optional(),
  logical_dates: many(wire.instant()),
  run_ids: many(wire.text()),
};
const statesQuery = z.object(common);
const countQuery = z.object({ ...common, states: many(wire.word([...TASK_INSTANCE_STATES, 'null'])) });

const listOrNull = (list: readonly string[]): readonly string[] | null => (list.length > 0 ? list : null);

type Query = z.output<typeof statesQuery>;

function filterOf(query: Query, group: readonly string[] | null): InstanceFilter {
  const named = listOrNull(query.task_ids);
  return {
    dagId: query.dag_id,
    mapIndex: query.map_index ?? null,
    taskIds: group ? [...(named ?? []), ...group] : named,
    logicalDates: listOrNull(query.logical_dates),
    runIds: listOrNull(query.run_ids),
  };
}

/** The tasks of a group, for a caller that was found entitled to the Dag. @throws NOT_FOUND */
async function groupTasks(context: ExecutionContext, dagId: string, groupId: string): Promise<readonly string[]> {
  const versionId = await currentVersionOf(context.db, dagId);
  if (versionId === null) throw notFound(`The Dag with ID: \`${dagId}\` was not found`);
  const model = await loadModel(context.db, versionId);
  const tasks = tasksOfGroup(model.document.dag.task_group, groupId);
  if (!tasks) throw notFound(`Task group ${groupId} not found in DAG ${dagId}`);
  return tasks;
}

/** Rights come before the group is looked up, and are asked by the name of the group. */
async function prepare(context: ExecutionContext, call: Call, query: Query) {
  const { dag_id: dagId, task_ids: taskIds, task_group_id: group } = query;
  const names = listOrNull(group === undefined ? taskIds : [...taskIds, group]);
  const target = { dagId, runIds: listOrNull(query.run_ids), names };
  const allowed = mayReadSql(context.rights, target);
  if (group === undefined) return { target, allowed, filter: filterOf(query, null) };
  const probe = await requireLive(
    context,
    call,
    await countInstances(context.db, callerKey(call), { ...filterOf(query, []), states: null }, allowed),
  );
  if (!probe.allowed || !mayReadStates(context.rights, probe, target)) throw notEntitled('these task instances');
  return { target, allowed, filter: filterOf(query, await groupTasks(context, dagId, group)) };
}

export const count: Handler = async (context, call) => {
  const query = parseQuery(countQuery, call.request);
  const { target, allowed, filter } = await prepare(context, call, query);
  const states = query.states.length > 0 ? query.states.map((state) => (state === 'null' ? null : state)) : null;
  const row = await requireLive(
    context,
    call,
    await countInstances(context.db, callerKey(call), { ...filter, states }, allowed),
  );
  if (!row.allowed || !mayReadStates(context.rights, row, target)) throw notEntitled('these task instances');
  await noteStates(context, row, target);
  return await answerLive(context, call, row, { status: 200, body: row.data ?? 0 });
};

export const states: Handler = async (context, call) => {
  const query = parseQuery(statesQuery, call.request);
  const { target, allowed, filter } = await prepare(context, call, query);
  const row = await requireLive(context, call, await listInstanceStates(context.db, callerKey(call), filter, allowed));
  if (!row.allowed || !mayReadStates(context.rights, row, target)) throw notEntitled('these task instances');
  await noteStates(context, row, target);
  const taskStates: Record<string, Record<string, string | null>> = Object.create(null);
  for (const { run_id: runId, task_id: taskId, map_index: mapIndex, state } of row.data ?? []) {
    taskStates[runId] ??= Object.create(null) as Record<string, string | null>;
    taskStates[runId][mapIndex < 0 ? taskId : `${taskId}_${mapIndex}`] = state;
  }
  return await answerLive(context, call, row, { status: 200, body: { task_states: taskStates } });
};
