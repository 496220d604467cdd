/** Deadlines of runs: made with the run, moved and dropped with it, and told when they have passed. */
import type { CallbackTarget } from '@airlock/contract/callbacks';
import type { Db } from '@airlock/store';
import { insertCallbacks, type NewCallback } from '@airlock/store/queries/callback/insert';
import { insertDeadlines, type NewDeadline } from '@airlock/store/queries/deadline/create';
import { linkDeadlines, missDeadlines } from '@airlock/store/queries/deadline/follow';
import type { DagModel } from '../domain/dag-model.ts';
import type { DeadlineDefinition } from '../domain/deadlines.ts';
import { instantIso } from '../domain/instants.ts';
import { callbackQueue } from './callbacks.ts';
import { loadModels } from './models.ts';
import { newId } from './new-ids.ts';

/** Most deadlines that one transaction tells of. */
const MAX_MISSED = 100;

/** The deadlines of a run that was just made. */
export async function createDeadlines(
  tx: Db,
  of: {
    readonly dagRunId: number;
    readonly versionId: string;
    readonly model: DagModel;
    readonly logicalDate: string | null;
    readonly nowIso: string;
  },
): Promise<void> {
  const rows = of.model.deadlines.flatMap((definition): NewDeadline[] => {
    const { position, name, reference, intervalSeconds } = definition;
    const average = reference.type === 'AverageRuntimeDeadline' ? reference : null;
    const from = average ? null : referenceInstant(reference, of);
    // Without a logical date there is nothing that the deadline could count from.
    if (!average && from === null) return [];
    return [
      {
        id: newId(of.nowIso),
        position,
        name,
        reference_type: reference.type,
        reference_at: from,
        interval_seconds: intervalSeconds,
        max_runs: average?.maxRuns ?? null,
        min_runs: average?.minRuns ?? null,
      },
    ];
  });
  await insertDeadlines(tx, of, rows);
}

function referenceInstant(
  reference: DeadlineDefinition['reference'],
  of: { readonly logicalDate: string | null; readonly nowIso: string },
): string | null {
  if (reference.type === 'FixedDatetimeDeadline') return instantIso(reference.atMs);
  return reference.type === 'DagRunLogicalDateDeadline' ? of.logicalDate : of.nowIso;
}

/** Marks deadlines that have passed and asks for their callbacks, in one transaction. @returns how many */
export async function tellMissedDeadlines(tx: Db, nowIso: string): Promise<number> {
  const missed = await missDeadlines(tx, { nowIso, limit: MAX_MISSED });
  const models = await loadModels(
    tx,
    missed.map((row) => row.dag_version_id),
  );
  const links: { id: string; callback_id: string }[] = [];
  const rows = missed.flatMap((row): NewCallback[] => {
    const model = models.get(row.dag_version_id);
    const definition = model?.deadlines.find((one) => one.position === row.position);
    if (!model || !definition) return [];
    const deadline = {
      id: row.id,
      name: row.name,
      position: row.position,
      deadline_time: instantIso(Date.parse(row.due_at)),
    };
    const target: CallbackTarget = { ...definition.callback, deadline };
    const id = newId(nowIso);
    links.push({ id: row.id, callback_id: id });
    return [
      {
        id,
        kind: 'deadline',
        event: 'missed',
        dag_run_id: row.dag_run_id,
        dag_version_id: row.dag_version_id,
        queue: callbackQueue(model),
        needs: model.callbackNeeds,
        ti_id: null,
        reason: null,
        target,
      },
    ];
  });
  await insertCallbacks(tx, rows, nowIso);
  await linkDeadlines(tx, links);
  return missed.length;
}
