/** The declaration that fits what a Dag's tasks have used. Pure. */
import { decodeNeeds, encodeNeeds, type Needs, NO_NEEDS } from '@airlock/contract/dag/needs';

export type Observed = {
  readonly task_id: string;
  readonly kind: string;
  readonly name: string;
  readonly uses: number;
};

export type TaskNeeds = {
  readonly task_id: string;
  readonly needs: Needs;
  /** What is done that no need allows, or more names than were written down (`*`): to be looked at by a person. */
  readonly beyond: ReadonlyArray<{ readonly kind: string; readonly name: string; readonly uses: number }>;
};

const isNeed = (kind: string): kind is keyof Needs => Object.hasOwn(NO_NEEDS, kind);

/** One entry per task that has used anything, by task id. */
export function needsOf(uses: readonly Observed[]): TaskNeeds[] {
  const byTask = Map.groupBy(uses, (use) => use.task_id);
  return [...byTask].map(([task_id, all]) => {
    const sayable = all.filter((use) => isNeed(use.kind) && use.name !== '*');
    const names = (kind: keyof Needs) => sayable.filter((use) => use.kind === kind).map((use) => use.name);
    const needs = Object.fromEntries(Object.keys(NO_NEEDS).map((kind) => [kind, names(kind as keyof Needs)])) as Needs;
    const beyond = all
      .filter((use) => !sayable.includes(use))
      .map(({ kind, name, uses: n }) => ({ kind, name, uses: n }));
    return { task_id, needs: decodeNeeds(encodeNeeds(needs))!, beyond };
  });
}
