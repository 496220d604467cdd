/** What a try may ask about runs. @see execution API 3.9 */
import { z } from '@airlock/contract/schema';
import { DAG_RUN_STATES } from '@airlock/contract/states';
import { countRunsFor, previousRunFor, readRunFor } from '@airlock/store/queries/dag-run/for-try';
import { parseQuery } from '../../http/validation.ts';
import { many, one, wire } from '../../http/wire.ts';
import type { Call, ExecutionContext, Handler } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { mayReadRuns } from '../rights.ts';
import { dagRunContext } from '../run-context.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';
import { noteRuns } from '../uses.ts';

const DENIED = 'this Dag run';
const listOrNull = (list: readonly string[]): readonly string[] | null => (list.length > 0 ? list : null);

async function findRun(context: ExecutionContext, call: Call) {
  const { dag_id: dagId, run_id: runId } = call.params as Record<'dag_id' | 'run_id', string>;
  const row = await requireLive(
    context,
    call,
    await readRunFor(context.db, callerKey(call), { dagId, runId }, context.rights),
  );
  if (!row.allowed || !mayReadRuns(context.rights, row, { dagId, runIds: [runId] })) throw notEntitled(DENIED);
  await noteRuns(context, row, 'run_reads', { dagId, runIds: [runId] });
  if (!row.data) throw notFound(`Dag run with dag_id '${dagId}' and run_id '${runId}' was not found`);
  return { row, run: row.data };
}

export const getRun: Handler = async (context, call) => {
  const { row, run } = await findRun(context, call);
  return await answerLive(context, call, row, { status: 200, shape: 'dagRun', body: dagRunContext(run) });
};

export const getRunState: Handler = async (context, call) => {
  const { row, run } = await findRun(context, call);
  return await answerLive(context, call, row, { status: 200, body: { state: run.state } });
};

const countQuery = z.object({
  dag_id: one(wire.text()),
  logical_dates: many(wire.instant()),
  run_ids: many(wire.text()),
  // Words that are no state match nothing.
  states: many(wire.text()),
});

export const countRuns: Handler = async (context, call) => {
  const query = parseQuery(countQuery, call.request);
  const target = { dagId: query.dag_id, runIds: listOrNull(query.run_ids) };
  const filter = { ...target, logicalDates: listOrNull(query.logical_dates), states: listOrNull(query.states) };
  const row = await requireLive(context, call, await countRunsFor(context.db, callerKey(call), filter, context.rights));
  if (!row.allowed || !mayReadRuns(context.rights, row, target)) throw notEntitled('these Dag runs');
  await noteRuns(context, row, 'run_reads', target);
  return await answerLive(context, call, row, { status: 200, body: row.data ?? 0 });
};

const beforeQuery = z.object({
  logical_date: one(wire.instant()),
  state: one(wire.word(DAG_RUN_STATES)).optional(),
});
const previousQuery = beforeQuery.extend({ dag_id: one(wire.text()) });

async function previous(context: ExecutionContext, call: Call, dagId: string, query: z.output<typeof beforeQuery>) {
  const before = { dagId, logicalDate: query.logical_date, state: query.state ?? null };
  const row = await requireLive(
    context,
    call,
    await previousRunFor(context.db, callerKey(call), before, context.rights),
  );
  if (!row.allowed || !mayReadRuns(context.rights, row, { dagId, runIds: null })) throw notEntitled(DENIED);
  await noteRuns(context, row, 'run_reads', { dagId, runIds: null });
  const body = row.data ? dagRunContext(row.data) : null;
  return await answerLive(context, call, row, { status: 200, shape: 'dagRun', body });
}

export const previousRun: Handler = async (context, call) => {
  const { dag_id: dagId, ...query } = parseQuery(previousQuery, call.request);
  return await previous(context, call, dagId, query);
};

/** The older path of the same question. */
export const previousRunOfDag: Handler = async (context, call) =>
  await previous(context, call, call.params.dag_id ?? '', parseQuery(beforeQuery, call.request));
