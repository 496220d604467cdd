/** Deadlines of runs: made with the run, moved and dropped with it, and told when they have passed. */
import type { CallbackTarget } from '@airlock/contract/callbacks';
import { isAppError } from '@airlock/contract/errors';
import type { Database, Db } from '@airlock/store';
import { insertCallbacks, type NewCallback } from '@airlock/store/queries/callback/insert';
import { insertDeadlines, type NewDeadline } from '@airlock/store/queries/deadline/create';
import { linkDeadlines, missDeadlines } from '@airlock/store/queries/deadline/follow';
import {
  insertPendingDeadlines,
  listPendingDeadlines,
  type NewPendingDeadline,
  takePendingDeadline,
} from '@airlock/store/queries/deadline/pending';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { DagModel } from '../domain/dag-model.ts';
import { type DeadlineDefinition, secondsOfVariable } from '../domain/deadlines.ts';
import { instantIso } from '../domain/instants.ts';
import { callbackQueue } from './callbacks.ts';
import { loadModels } from './models.ts';
import { newId } from './new-ids.ts';

/** Most deadlines that one transaction tells of. */
const MAX_MISSED = 100;
/** Most that one sweep looks for. */
const MAX_PENDING = 200;
/** How long a variable is asked for again that could not be read. */
const MAX_PENDING_MS = 3_600_000;

type MadeRun = { readonly dagRunId: number; readonly versionId: string; readonly nowIso: string };

/** The deadlines of a run that was just made; what is not known at once is looked for by the next sweep. */
export async function createDeadlines(
  tx: Db,
  of: MadeRun & { readonly model: DagModel; readonly logicalDate: string | null },
): Promise<void> {
  const known: NewDeadline[] = [];
  const pending: NewPendingDeadline[] = [];
  for (const definition of of.model.deadlines) {
    const { position, reference, interval } = definition;
    const from = referenceInstant(reference, of);
    // Without a logical date there is nothing that the deadline could count from.
    if (from === null && reference.type === 'DagRunLogicalDateDeadline') continue;
    const place = { id: newId(of.nowIso), position, reference_at: from };
    if (typeof interval === 'number' && reference.type !== 'own') known.push(asRow(definition, place, interval));
    else pending.push(place);
  }
  await insertDeadlines(tx, of, known);
  await insertPendingDeadlines(tx, of, pending);
}

function asRow(
  { name, reference }: DeadlineDefinition,
  place: NewPendingDeadline,
  intervalSeconds: number,
): NewDeadline {
  const average = reference.type === 'AverageRuntimeDeadline' ? reference : null;
  return {
    ...place,
    name,
    reference_type: reference.type,
    interval_seconds: intervalSeconds,
    max_runs: average?.maxRuns ?? null,
    min_runs: average?.minRuns ?? null,
  };
}

/** Null where nothing is counted from, or an average has to be found. */
function referenceInstant(
  reference: DeadlineDefinition['reference'],
  of: { readonly logicalDate: string | null; readonly nowIso: string },
): string | null {
  switch (reference.type) {
    case 'FixedDatetimeDeadline':
      return instantIso(reference.atMs);
    case 'DagRunLogicalDateDeadline':
      return of.logicalDate;
    case 'DagRunQueuedAtDeadline':
      return of.nowIso;
    default:
      return null;
  }
}

/**
 * The variable by which a Dag says how long its runs may take, as its callbacks would read it; null = there is none.
 * @throws AppError it may not be read, or can't be now
 */
export type ReadDeadlineVariable = (
  key: string,
  of: { readonly team: string | null; readonly needs: string | null },
) => Promise<string | null>;

type Found = { readonly seconds: number } | { readonly why: string } | { readonly later: unknown };

/**
 * Finds the instants of deadlines whose interval is a variable. What can't be found, as that of a reference of one's own, is left out, and written into the audit log
 * with its cause: an alert is no reason to refuse a run. The variable is read outside of any transaction, since a store of secrets
 * may take its time.
 */
export async function findPendingDeadlines(
  db: Database,
  o: {
    readonly readVariable: ReadDeadlineVariable;
    readonly log: { readonly warn: (fields: object, message: string) => void };
    readonly nowIso: string;
  },
): Promise<void> {
  const rows = await listPendingDeadlines(db, MAX_PENDING);
  if (rows.length === 0) return;
  const models = await loadModels(db, rows.map((row) => row.dag_version_id)); // biome-ignore format: one thing
  for (const row of rows) {
    const model = models.get(row.dag_version_id);
    const definition = model?.deadlines.find((one) => one.position === row.position);
    if (!model || !definition) continue;
    const { dag_id, run_id, position } = row;
    let found = await intervalOf(definition, { team: row.team, needs: model.callbackNeeds }, o.readVariable);
    if ('later' in found && Date.parse(o.nowIso) - Date.parse(row.created_at) > MAX_PENDING_MS)
      found = { why: `its variable could not be read: ${String(found.later)}`.slice(0, 500) };
    if ('later' in found) {
      o.log.warn(
        { err: found.later, dag_id, run_id, position },
        'a deadline can not be found now; it will be tried again',
      );
      continue;
    }
    await db.transaction(async (tx) => {
      if (!(await takePendingDeadline(tx, row.id))) return;
      if ('why' in found) {
        o.log.warn({ dag_id, run_id, position, why: found.why }, 'a deadline was left out');
        const extra = JSON.stringify({ deadline: position, name: definition.name, reason: found.why });
        const event = 'deadline left out';
        await insertEventLog(tx, { nowIso: o.nowIso, event, owner: 'scheduler', dagId: dag_id, runId: run_id, extra });
        return;
      }
      const run = { dagRunId: row.dag_run_id, versionId: row.dag_version_id, nowIso: row.created_at };
      await insertDeadlines(tx, run, [asRow(definition, row, found.seconds)]);
    });
  }
}

async function intervalOf(
  { interval, reference }: DeadlineDefinition,
  of: { readonly team: string | null; readonly needs: string | null },
  readVariable: ReadDeadlineVariable,
): Promise<Found> {
  if (reference.type === 'own')
    return {
      why: `the reference ${reference.classPath} is a class of its own, which would need a session of the database`,
    };
  if (typeof interval === 'number') return { seconds: interval };
  const key = interval.variable;
  try {
    const text = await readVariable(key, of);
    if (text === null) return { why: `VariableInterval '${key}' not found` };
    const seconds = secondsOfVariable(text);
    // Not what it is: a variable may be a secret.
    return seconds === null ? { why: `VariableInterval '${key}' must be an integer (seconds)` } : { seconds };
  } catch (error) {
    if (isAppError(error, 'NOT_ENTITLED') || isAppError(error, 'SECRETS_REFUSED')) return { why: error.message };
    return { later: error };
  }
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
        about: null,
        reason: null,
        target,
      },
    ];
  });
  await insertCallbacks(tx, rows, nowIso);
  await linkDeadlines(tx, links);
  return missed.length;
}
