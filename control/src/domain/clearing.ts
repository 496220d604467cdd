/**
 * Which tasks come along when some are cleared: relatives that are asked for, and the setups and teardowns without which none of
 * them may run. Pure. @see scheduling semantics 11.1; REST 5.3
 */
import { allDownstream, allUpstream, type DagModel, type TaskModel } from './dag-model.ts';

/** One task, or one index of it. */
export type TaskSelector = { readonly taskId: string; readonly mapIndex?: number };

export type Relatives = {
  readonly includeUpstream?: boolean;
  readonly includeDownstream?: boolean;
  /**
   * How far relatives reach. `run`: they are those in one run, so of a task in the same mapped group only the same index, and
   * downstream counts from the upstream tasks too. `dag`: whole tasks, both directions from the given ones alone.
   */
  readonly within?: 'run' | 'dag';
};

/** Whole tasks, and single indexes of tasks that are not whole. */
export type Selection = { readonly whole: ReadonlySet<string>; readonly indexes: ReadonlyMap<string, Set<number>> };
type Growing = { readonly whole: Set<string>; readonly indexes: Map<string, Set<number>> };
type Direction = 'upstream' | 'downstream';

/** What is cleared when a user names these tasks. Names that the Dag does not have stay in it: a run may have them still. */
export function selectTasks(model: DagModel, tasks: readonly TaskSelector[], relatives: Relatives): Selection {
  const selection: Growing = { whole: new Set(), indexes: new Map() };
  for (const task of tasks) add(selection, task);
  const named = () => [...selection.whole, ...selection.indexes.keys()];
  if (relatives.within === 'run') {
    if (relatives.includeUpstream) addRelatives(model, selection, 'upstream');
    if (relatives.includeDownstream) addRelatives(model, selection, 'downstream');
  } else if (relatives.includeUpstream || relatives.includeDownstream) {
    const { includeUpstream: upstream, includeDownstream: downstream } = relatives;
    for (const id of companions(model, named(), { upstream, downstream })) selection.whole.add(id);
  }
  const before = new Set(named());
  for (const id of companions(model, [...before], {})) if (!before.has(id)) selection.whole.add(id);
  return selection;
}

export function isSelected({ whole, indexes }: Selection, taskId: string, mapIndex: number): boolean {
  return whole.has(taskId) || indexes.get(taskId)?.has(mapIndex) === true;
}

function add({ whole, indexes }: Growing, { taskId, mapIndex }: TaskSelector): void {
  if (mapIndex === undefined) whole.add(taskId);
  else indexes.set(taskId, (indexes.get(taskId) ?? new Set()).add(mapIndex));
}

/** Two tasks whose equal indexes belong together. */
const shareGroup = (a: TaskModel, b: TaskModel): boolean => a.mappedGroup !== null && a.mappedGroup === b.mappedGroup;

function addRelatives(model: DagModel, selection: Growing, direction: Direction): void {
  const all = direction === 'upstream' ? allUpstream : allDownstream;
  const whole = new Set(selection.whole);
  for (const [taskId, indexes] of [...selection.indexes]) {
    const task = model.tasks.get(taskId);
    if (!task) continue;
    if (task.expansion === null && task.mappedGroup === null) whole.add(taskId);
    else {
      for (const id of all(model, taskId)) {
        if (!shareGroup(task, model.tasks.get(id)!)) {
          selection.whole.add(id);
          whole.add(id);
        } else for (const mapIndex of indexes) add(selection, { taskId: id, mapIndex });
      }
    }
  }
  for (const id of companions(model, [...whole], { [direction]: true })) selection.whole.add(id);
}

/**
 * Relatives of whole tasks in the given directions, and whatever of setups and teardowns they need: the setups that guard a
 * task, with their teardowns, and the teardowns of a setup. A given task is among them only when another one leads to it.
 */
export function companions(
  model: DagModel,
  taskIds: readonly string[],
  to: { readonly upstream?: boolean | undefined; readonly downstream?: boolean | undefined },
): Set<string> {
  const given = new Set(taskIds);
  const found = new Set<string>();
  for (const id of given) {
    const task = model.tasks.get(id);
    if (!task) continue;
    if (to.downstream) {
      for (const relative of allDownstream(model, id)) {
        found.add(relative);
        if (!given.has(relative)) for (const guard of guardsOf(model, relative)) found.add(guard);
      }
    } else if (task.isSetup) for (const teardown of teardownsOf(model, id)) found.add(teardown);
    if (to.upstream) {
      for (const relative of allUpstream(model, id)) {
        found.add(relative);
        if (!model.tasks.get(relative)!.isSetup) continue;
        for (const teardown of teardownsOf(model, relative)) if (teardown !== id) found.add(teardown);
      }
    } else for (const guard of guardsOf(model, id)) found.add(guard);
  }
  return found;
}

const teardownsOf = (model: DagModel, setupId: string): string[] =>
  model.tasks.get(setupId)!.downstream.filter((id) => model.tasks.get(id)!.isTeardown);

/** Setups that guard a task of work, and their teardowns. */
function guardsOf(model: DagModel, taskId: string): string[] {
  const task = model.tasks.get(taskId)!;
  if (task.isSetup || task.isTeardown) return [];
  return (model.scopes.setupsOf.get(taskId) ?? []).flatMap((setup) => [setup, ...teardownsOf(model, setup)]);
}
