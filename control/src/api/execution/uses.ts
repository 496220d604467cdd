/**
 * Records what tasks use that are not held to needs, so that the declaration can be made of it. A name that a task uses for
 * the first time is written before the answer; later uses are counted here and written every few seconds, since a count that
 * lags is worth less than the time of every read.
 */
import type { Db } from '@airlock/store';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import { addObservedUses, type ObservedUse, type UseKind } from '@airlock/store/queries/token/observed';
import type { RightsContext } from '@airlock/store/queries/token/rights';
import { nowIso } from '../http/instant.ts';
import { bindingNeeds } from './rights.ts';

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
  target: { readonly dagId: string; readonly runIds: readonly string[] | null },
): Promise<void> {
  const own = target.dagId === caller.dag_id && target.runIds?.every((runId) => runId === caller.run_id);
  if (!own) await context.uses.note(caller, kind, target.dagId);
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
