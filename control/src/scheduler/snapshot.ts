/** From rows to what a decision is made from. */
import type { Db } from '@airlock/store';
import {
  loadPreviousStates,
  loadRunContents,
  type RunContents,
  type RunToDecide,
} from '@airlock/store/queries/schedule/load-runs';
import type { DagModel } from '../domain/dag-model.ts';
import { instantMs } from '../domain/instants.ts';
import type { RunSnapshot, SkipDecision, State } from './decide/types.ts';

/** Reads the contents of locked runs and puts them together with their models. Runs without a model are left out. */
export async function readSnapshots(
  tx: Db,
  runs: readonly RunToDecide[],
  models: ReadonlyMap<string, DagModel>,
  nowMs: number,
): Promise<Map<number, RunSnapshot>> {
  const known = runs.filter((run) => run.version_id !== null && models.has(run.version_id));
  if (known.length === 0) return new Map();
  const used = known.map((run) => models.get(run.version_id!)!);
  const contents = await loadRunContents(
    tx,
    known.map((run) => run.id),
    { counts: used.some(mapsOverMapped), skips: used.some((model) => some(model, 'canSkipDownstream')) },
  );
  const byId = new Map(contents.map((row) => [row.id, row]));
  const snapshots = new Map<number, RunSnapshot>();
  for (const run of known) {
    const content = byId.get(run.id);
    const model = models.get(run.version_id!)!;
    if (!content) continue;
    const previous = await previousOf(tx, run, model);
    snapshots.set(run.id, toSnapshot(run, content, model, previous, nowMs));
  }
  return snapshots;
}

const flags = new WeakMap<DagModel, { mapsOverMapped: boolean; canSkipDownstream: boolean; dependsOnPast: boolean }>();

function flagsOf(model: DagModel) {
  let found = flags.get(model);
  if (!found) {
    const tasks = [...model.tasks.values()];
    const isMapped = (id: string) => {
      const task = model.tasks.get(id);
      return task !== undefined && (task.expansion !== null || task.mappedGroup !== null);
    };
    const expansions = [...tasks.map((task) => task.expansion), ...model.mappedGroups.values()];
    found = {
      mapsOverMapped: expansions.some((expansion) => expansion?.upstream.some(isMapped)),
      canSkipDownstream: tasks.some((task) => task.canSkipDownstream),
      dependsOnPast: tasks.some((task) => task.dependsOnPast),
    };
    flags.set(model, found);
  }
  return found;
}

const mapsOverMapped = (model: DagModel): boolean => flagsOf(model).mapsOverMapped;
const some = (model: DagModel, flag: 'canSkipDownstream' | 'dependsOnPast'): boolean => flagsOf(model)[flag];

/** True when an end in one run may let another run of the Dag go on. */
export function waitsForPast(model: DagModel): boolean {
  return some(model, 'dependsOnPast');
}

async function previousOf(tx: Db, run: RunToDecide, model: DagModel): Promise<Map<string, State> | null> {
  // The first run of a backfill has no past.
  if (!waitsForPast(model) || run.logical_date === null || run.backfill_ordinal === 1) return null;
  const states = await loadPreviousStates(tx, {
    dagId: run.dag_id,
    logicalDate: run.logical_date,
    skipManual: model.catchup,
  });
  return states && new Map(Object.entries(states) as [string, State][]);
}

function toSnapshot(
  run: RunToDecide,
  content: RunContents,
  model: DagModel,
  previous: Map<string, State> | null,
  nowMs: number,
): RunSnapshot {
  return {
    nowMs,
    run: {
      id: run.id,
      logicalDateMs: instantMs(run.logical_date),
      startDateMs: instantMs(run.start_date),
      versionId: run.version_id!,
      paused: run.is_paused,
    },
    model,
    tis: content.tis.map(
      ([id, taskId, mapIndex, state, tryNumber, versionId, retryAtMs, rescheduleAtMs, skippedAtMs]) => ({
        id,
        taskId,
        mapIndex,
        state: state as State,
        tryNumber,
        versionId,
        retryAtMs,
        rescheduleAtMs,
        skippedAtMs,
      }),
    ),
    lengths: new Map(Object.entries(content.lengths)),
    resultCounts: new Map(Object.entries(content.counts)),
    skips: readSkips(content.skips),
    previous,
  };
}

/** What tasks published is their authors' text: anything that is no skip decision means "no opinion". */
function readSkips(texts: Record<string, string>): Map<string, SkipDecision> {
  const skips = new Map<string, SkipDecision>();
  const ids = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((id) => typeof id === 'string');
  for (const [key, text] of Object.entries(texts)) {
    let value: unknown;
    try {
      value = JSON.parse(text);
      if (typeof value === 'string') value = JSON.parse(value);
    } catch {
      continue;
    }
    const said = value as { followed?: unknown; skipped?: unknown } | null;
    if (typeof said !== 'object' || said === null) continue;
    if (ids(said.followed)) skips.set(key, { followed: said.followed });
    else if (ids(said.skipped)) skips.set(key, { skipped: said.skipped });
  }
  return skips;
}
