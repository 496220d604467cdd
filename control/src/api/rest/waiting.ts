/** Why the task instances of a run do not go on: ours. @see docs/runbook.md */
import { z } from '@airlock/contract/schema';
import { findRunToDecide } from '@airlock/store/queries/schedule/load-runs';
import { findRunFacts, listWaiting } from '@airlock/store/queries/schedule/waiting';
import { instantIso } from '../../domain/instants.ts';
import { readSnapshots } from '../../scheduler/snapshot.ts';
import { waitingCause } from '../../scheduler/waiting-cause.ts';
import { wireInstant } from '../http/instant.ts';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { optionalOne, pageOf, pageQuery } from './list-query.ts';
import { modelsOf } from './models.ts';
import type { RestContext, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';

const query = z.object({ limit: pageQuery.limit, offset: pageQuery.offset, task_id: optionalOne(wire.text()) });

async function waiting(context: RestContext): Promise<unknown> {
  const asked = parseQuery(query, context.request);
  const { db, clock, config } = context.deps;
  const [dagId, runId] = [context.param('dag_id'), context.param('dag_run_id')];
  const { id } = await loadRun(db, dagId, runId);
  const nowMs = clock.nowMs();
  const aliveSinceIso = instantIso(nowMs - config.scheduler.scheduler_health_check_threshold * 1000);
  const { rows, total } = await listWaiting(db, {
    id,
    aliveSinceIso,
    taskId: asked.task_id ?? null,
    ...pageOf(context, asked),
  });
  if (rows.length === 0) return { waiting: [], total_entries: total };
  const run = await findRunFacts(db, { id, aliveSinceIso });
  const decided = await findRunToDecide(db, dagId, runId);
  const models = await modelsOf(db, [decided?.version_id ?? null]);
  const snapshot = decided ? ((await readSnapshots(db, [decided], models, nowMs)).get(id) ?? null) : null;
  return {
    waiting: rows.map((ti) => {
      const { name, text, until } = waitingCause({ run, ti, snapshot, parallelism: config.core.parallelism, nowMs });
      return {
        task_id: ti.task_id,
        map_index: ti.map_index,
        state: ti.state,
        cause: name,
        text,
        until: until === null ? null : wireInstant(until),
      };
    }),
    total_entries: total,
  };
}

export const waitingRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags/:dag_id/dagRuns/:dag_run_id/waiting', handle: waiting, query },
];
