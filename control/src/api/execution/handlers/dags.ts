import { readDagFor } from '@airlock/store/queries/dag/for-try';
import { wireInstant } from '../../http/instant.ts';
import type { Handler } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { mayReadDag } from '../rights.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

/** What a try may know of a Dag. @see execution API 3.10 */
export const getDag: Handler = async (context, call) => {
  const dagId = call.params.dag_id ?? '';
  const row = await requireLive(context, call, await readDagFor(context.db, callerKey(call), dagId, context.rights));
  if (!row.allowed || !mayReadDag(context.rights, row, dagId)) throw notEntitled(`Dag ${dagId}`);
  if (dagId !== row.dag_id) await context.uses.note(row, 'run_reads', dagId);
  if (!row.data) throw notFound(`The Dag with dag_id: \`${dagId}\` was not found`);
  const body = { ...row.data, next_dagrun: wireInstant(row.data.next_dagrun) };
  return await answerLive(context, call, row, { status: 200, body });
};
