/**
 * Records what tasks use that are not held to needs, so that the declaration can be made of it. A name that a task uses for
 * the first time is written before the answer; later uses are counted here and written every few seconds, since a count that
 * lags is worth less than the time of every read.
 */
import { needs } from '@airlock/contract/dag/needs';
import type { Db } from '@airlock/store';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import { addObservedUses, type ObservedUse, type UseKind } from '@airlock/store/queries/token/observed';
import type { InstancesTarget, RightsContext, RunsTarget } from '@airlock/store/queries/token/rights';
import { nowIso } from '../http/instant.ts';
import { bindingNeeds, isOwnRun } from './rights.ts';

export type UseRecorder = {
  /** Notes that a right was used that no need gave; nothing where needs bind the caller. */
  readonly note: (
    caller: Pick<CallerRow, 'needs' | 'dag_id' | 'task_id'>,
    kind: UseKind,
    name: string,
  ) => Promise<void>;
  /** Writes what was counted. */
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** Notes a look at runs or their tasks beyond the own run. */
export async function noteRuns(
  context: { readonly uses: UseRecorder },
  caller: CallerRow,
  kind: 'run_reads' | 'task_reads',
  target: RunsTarget,
): Promise<void> {
  if (!isOwnRun(caller, target)) await context.uses.note(caller, kind, target.dagId);
}

/** Most tasks of one look that are written down one by one. */
const MAX_NAMED = 100;

/** Notes a look at states of tasks beyond the own run: by task where tasks are named, as they can be declared. */
export async function noteStates(
  context: { readonly uses: UseRecorder },
  caller: CallerRow,
  target: InstancesTarget,
): Promise<void> {
  if (isOwnRun(caller, target)) return;
  const names = (target.names ?? []).map((name) => `${target.dagId}/${name}`);
  const sayable = names.length > 0 && names.length <= MAX_NAMED && needs.shape.tasks.safeParse(names).success;
  if (!sayable) return await context.uses.note(caller, 'task_reads', target.dagId);
  for (const name of names) await context.uses.note(caller, 'tasks', name);
}

const FLUSH_MS = 5000;
/** Names that are remembered as written; the longest unused are forgotten, and written again. */
const MAX_KNOWN = 50_000;
/** What the table takes of a name, bytes. */
const MAX_NAME = 1500;

export function createUseRecorder(options: {
  readonly db: Db;
  readonly rights: RightsContext;
  readonly nowMs: () => number;
  readonly onError: (error: unknown) => void;
}): UseRecorder {
  const { db, rights } = options;
  /** Key → uses since they were written last. */
  const known = new Map<string, ObservedUse & { uses: number }>();
  const write = (uses: readonly ObservedUse[]) => addObservedUses(db, uses, nowIso(options.nowMs()));

  const flush = async (): Promise<void> => {
    const counted = [...known.values()].filter(({ uses }) => uses > 0);
    const taken = counted.map((use) => ({ ...use }));
    for (const use of counted) use.uses = 0;
    try {
      await write(taken);
    } catch (error) {
      for (const [n, use] of counted.entries()) use.uses += taken[n]!.uses;
      throw error;
    }
  };
  const timer = setInterval(() => void flush().catch(options.onError), FLUSH_MS);
  timer.unref();

  return {
    note: async (caller, kind, given) => {
      if (bindingNeeds(rights, caller) !== null) return;
      const name = Buffer.from(given).subarray(0, MAX_NAME).toString().replaceAll('\0', '');
      const key = JSON.stringify([caller.dag_id, caller.task_id, kind, name]);
      const use = known.get(key);
      if (use) {
        use.uses++;
        known.delete(key); // the map's order is the order of last use
        known.set(key, use);
        return;
      }
      const first = { dag_id: caller.dag_id, task_id: caller.task_id, kind, name };
      await write([{ ...first, uses: 1 }]);
      if (known.has(key)) return;
      known.set(key, { ...first, uses: 0 });
      if (known.size <= MAX_KNOWN) return;
      const [oldest, forgotten] = known.entries().next().value!;
      known.delete(oldest);
      if (forgotten.uses > 0) await write([forgotten]);
    },
    flush,
    close: async () => {
      clearInterval(timer);
      await flush().catch(options.onError);
    },
  };
}
