/** `PATCH` on a collection of runs: state, note and removal of several in one transaction. @see rest-api 1.10, 4.3 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { lockRunsById } from '@airlock/store/queries/dag-run/lock';
import { getRunsByName, type RunName } from '@airlock/store/queries/rest-run/by-name';
import { setRunNote } from '@airlock/store/queries/rest-run/list';
import { deleteDagRun, setDagRunState } from '../../runs/index.ts';
import { parseBody } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { dagsThatMayBe } from './authorize.ts';
import { type BulkAnswer, type BulkResult, bulkBody } from './bulk.ts';
import { pythonRepr } from './python-json.ts';
import type { RestContext, RestRoute } from './route.ts';
import { NOTE_MAX } from './run-changes.ts';

const entity = z.strictObject({
  dag_run_id: wire.text(),
  dag_id: wire.text().nullish(),
  state: wire.word(['queued', 'success', 'failed']).nullish(),
  note: wire.text({ max: NOTE_MAX }).nullish(),
});
type Entity = z.output<typeof entity>;
const bulkSchema = bulkBody(entity, entity, z.union([wire.text(), entity]));

const key = (run: RunName): string => JSON.stringify([run.dag_id, run.run_id]);

/** The run that an entity names, or null and an error when the path leaves its Dag open. */
function nameOf(dagId: string, each: string | Entity, result: BulkResult): RunName | null {
  const run =
    typeof each === 'string'
      ? { dag_id: dagId, run_id: each }
      : { dag_id: each.dag_id || dagId, run_id: each.dag_run_id };
  if (run.dag_id !== '~' && run.run_id !== '~') return run;
  const where =
    typeof each === 'string'
      ? `in BulkDAGRunBody object, not as string for dag_run_id: ${each}`
      : `in request body for dag_run_id: ${each.dag_run_id}`;
  result.errors.push({ error: `When using wildcard in path, dag_id must be specified ${where}`, status_code: 400 });
  return null;
}

async function bulk(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const { actions } = parseBody(bulkSchema, context.request);
  const named = (method: 'update' | 'delete') =>
    actions.flatMap((action) =>
      action.action === method
        ? action.entities.map((each) => (typeof each === 'string' ? dagId : each.dag_id || dagId))
        : [],
    );
  // One refusal is a refusal of everything, before anything is done.
  const reachable = {
    update: await dagsThatMayBe(context, 'run', 'PUT', named('update')),
    delete: await dagsThatMayBe(context, 'run', 'DELETE', named('delete')),
  };
  const removed: RunName[] = [];
  const answer = await context.mutate('bulk_dag_runs', { dagId: dagId === '~' ? null : dagId }, async (tx) => {
    const results: BulkAnswer = { create: null, update: null, delete: null };
    for (const action of actions) {
      results[action.action] ??= { success: [], errors: [] };
      const result = results[action.action]!;
      if (action.action === 'create') {
        const error = 'Dag Runs bulk create is not supported. Use the trigger Dag Run endpoint instead.';
        result.errors.push({ error, status_code: 405 });
        continue;
      }
      const entities = new Map<string, { run: RunName; each: string | Entity }>();
      for (const each of action.entities) {
        const run = nameOf(dagId, each, result);
        if (run) entities.set(key(run), { run, each });
      }
      const wanted = [...entities.values()]
        .map(({ run }) => run)
        .filter((run) => reachable[action.action].has(run.dag_id));
      const found = await getRunsByName(tx, wanted);
      const missing = [...entities.keys()].filter((id) => !found.some((run) => key(run) === id));
      if (missing.length > 0 && action.action_on_non_existence === 'fail') {
        const shown = missing.sort().map((id) => `(${(JSON.parse(id) as string[]).map(pythonRepr).join(', ')})`);
        const error = `The DagRuns with these identifiers: [${shown.join(', ')}] were not found`;
        result.errors.push({ error, status_code: 404 });
        continue;
      }
      await lockRunsById(
        tx,
        found.map((run) => run.id),
      );
      for (const run of found) {
        if (action.action === 'delete') {
          if (await remove(tx, run, result)) removed.push(run);
        } else {
          const sent = entities.get(key(run))!.each as Entity;
          await update(tx, context, run, sent, action.update_mask ?? []);
          result.success.push(`${run.dag_id}.${run.run_id}`);
        }
      }
    }
    return results;
  });
  for (const run of removed) await context.deps.logs.removeRun({ dagId: run.dag_id, runId: run.run_id });
  return answer;
}

async function update(
  tx: Db,
  context: RestContext,
  run: RunName & { readonly id: number },
  sent: Entity,
  mask: readonly string[],
): Promise<void> {
  const { nowIso } = context;
  const counts = (field: string) => mask.length === 0 || mask.includes(field);
  if (sent.state && counts('state')) {
    await setDagRunState(tx, { dagId: run.dag_id, runId: run.run_id, state: sent.state, nowIso });
  }
  if (sent.note !== null && sent.note !== undefined && counts('note')) {
    await setRunNote(tx, { id: run.id, note: sent.note || null, user: context.user.name, nowIso });
  }
}

/** @returns whether it is gone; one that runs stays, and is an error of its own */
async function remove(tx: Db, run: RunName, result: BulkResult): Promise<boolean> {
  try {
    await deleteDagRun(tx, { dagId: run.dag_id, runId: run.run_id });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'CONFLICT') throw error;
    result.errors.push({ error: error.message, status_code: 409 });
    return false;
  }
  result.success.push(`${run.dag_id}.${run.run_id}`);
  return true;
}

export const runBulkRoutes: RestRoute[] = [
  { method: 'PATCH', path: '/dags/:dag_id/dagRuns', handle: bulk, body: bulkSchema, event: 'bulk_dag_runs' },
];
