/** What happened to the tasks of a run, and to one task before. @see execution API 3.8 */
import { z } from '@airlock/contract/schema';
import { TASK_INSTANCE_STATES } from '@airlock/contract/states';
import { listBreadcrumbsFor, previousInstanceFor } from '@airlock/store/queries/task-instance/of-runs';
import { wireInstant } from '../../http/instant.ts';
import { parseQuery } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import type { Handler } from '../context.ts';
import { notEntitled } from '../errors.ts';
import { mayListInstances } from '../rights.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';
import { noteRuns } from '../uses.ts';

const DENIED = 'these task instances';
const runQuery = z.object({ dag_id: one(wire.text()), run_id: one(wire.text()) });

export const breadcrumbs: Handler = async (context, call) => {
  const { dag_id: dagId, run_id: runId } = parseQuery(runQuery, call.request);
  const row = await requireLive(
    context,
    call,
    await listBreadcrumbsFor(context.db, callerKey(call), { dagId, runId }, context.rights),
  );
  if (!row.allowed || !mayListInstances(context.rights, row, { dagId, runIds: [runId] })) throw notEntitled(DENIED);
  await noteRuns(context, row, 'task_reads', { dagId, runIds: [runId] });
  return await answerLive(context, call, row, { status: 200, body: { breadcrumbs: row.data ?? [] } });
};

const previousQuery = z.object({
  logical_date: one(wire.instant()).optional(),
  map_index: one(wire.int({ ge: -1 })).optional(),
  state: one(wire.word(TASK_INSTANCE_STATES)).optional(),
});

export const previousInstance: Handler = async (context, call) => {
  const { dag_id: dagId, task_id: taskId } = call.params as Record<'dag_id' | 'task_id', string>;
  const query = parseQuery(previousQuery, call.request);
  const of = {
    dagId,
    taskId,
    mapIndex: query.map_index ?? -1,
    logicalDate: query.logical_date ?? null,
    state: query.state ?? null,
  };
  const row = await requireLive(
    context,
    call,
    await previousInstanceFor(context.db, callerKey(call), of, context.rights),
  );
  if (!row.allowed || !mayListInstances(context.rights, row, { dagId, runIds: null })) throw notEntitled(DENIED);
  await noteRuns(context, row, 'task_reads', { dagId, runIds: null });
  const found = row.data;
  const body = found && {
    ...found,
    logical_date: wireInstant(found.logical_date),
    start_date: wireInstant(found.start_date),
    end_date: wireInstant(found.end_date),
  };
  return await answerLive(context, call, row, { status: 200, body });
};
