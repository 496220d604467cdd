/** How often a mapped task runs. Only lengths matter here; the values are the worker's business. @see semantics 6.1 */
import { isObject, isTagged } from './values.ts';

/** Where a length comes from. */
export type LengthSource =
  | { readonly kind: 'literal'; readonly length: number }
  | { readonly kind: 'xcom'; readonly taskId: string }
  | { readonly kind: 'sum' | 'shortest' | 'longest'; readonly of: readonly LengthSource[] }
  /** Something that no rule covers: it can never be determined. */
  | { readonly kind: 'unknown' };

/** A product of lengths: one factor per argument of `expand`, or one alone for `expand_kwargs`. */
export type Expansion = { readonly factors: readonly LengthSource[]; readonly upstream: readonly string[] };

/** Reads the mapping field of a task or group. */
export function readExpansion(field: unknown): Expansion {
  const value = isObject(field) ? field.value : undefined;
  const byName = isObject(field) && field.type === 'dict-of-lists';
  const inner = isTagged(value) && value.__type === 'dict' ? value.__var : value;
  const factors = byName && isObject(inner) ? Object.values(inner).map(lengthSource) : [lengthSource(value)];
  return { factors, upstream: [...new Set(factors.flatMap(sourcesOf))] };
}

function lengthSource(value: unknown): LengthSource {
  if (Array.isArray(value)) return { kind: 'literal', length: value.length };
  if (isTagged(value)) {
    if (value.__type === 'xcomref') return referenceSource(value.__var);
    if (['tuple', 'set'].includes(value.__type) && Array.isArray(value.__var)) {
      return { kind: 'literal', length: value.__var.length };
    }
    if (value.__type === 'dict' && isObject(value.__var))
      return { kind: 'literal', length: Object.keys(value.__var).length };
  }
  return { kind: 'unknown' };
}

function referenceSource(ref: unknown): LengthSource {
  if (isTagged(ref) && ref.__type === 'xcomref') return referenceSource(ref.__var);
  if (!isObject(ref)) return Array.isArray(ref) ? { kind: 'literal', length: ref.length } : { kind: 'unknown' };
  if (typeof ref.task_id === 'string') return { kind: 'xcom', taskId: ref.task_id };
  const args = Array.isArray(ref.args) ? ref.args.map(anySource) : [];
  if (ref.type === 'map') return anySource(ref.arg);
  if (ref.type === 'concat') return { kind: 'sum', of: args };
  if (ref.type === 'zip') return { kind: Object.hasOwn(ref, 'fillvalue') ? 'longest' : 'shortest', of: args };
  return { kind: 'unknown' };
}

const anySource = (value: unknown): LengthSource => {
  const tagged = lengthSource(value);
  return tagged.kind === 'unknown' ? referenceSource(value) : tagged;
};

function sourcesOf(source: LengthSource): readonly string[] {
  if (source.kind === 'xcom') return [source.taskId];
  return 'of' in source ? source.of.flatMap(sourcesOf) : [];
}

/** Length of one task's result; null = not known (yet). */
export type ResultLength = (taskId: string) => number | null;

/** @returns null while, or when, some length is not known. */
export function expansionLength(expansion: Expansion, lengthOf: ResultLength): number | null {
  let product = 1;
  for (const factor of expansion.factors) {
    const length = lengthOfSource(factor, lengthOf);
    if (length === null) return null;
    product *= length;
  }
  return product;
}

function lengthOfSource(source: LengthSource, lengthOf: ResultLength): number | null {
  if (source.kind === 'literal') return source.length;
  if (source.kind === 'xcom') return lengthOf(source.taskId);
  if (source.kind === 'unknown') return null;
  const lengths = source.of.map((part) => lengthOfSource(part, lengthOf));
  if (lengths.length === 0 || lengths.includes(null)) return null;
  const known = lengths as number[];
  if (source.kind === 'sum') return known.reduce((sum, n) => sum + n, 0);
  return source.kind === 'shortest' ? Math.min(...known) : Math.max(...known);
}

/** Length when everything is a literal, known as soon as a run is made; else null. */
export function literalLength(expansion: Expansion): number | null {
  return expansionLength(expansion, () => null);
}

/** A group of the tree; its id has the prefixes of the groups around it, which its own field has not. */
type TaskGroup = {
  /** Ids of the groups around it, outermost first, and its own. */
  readonly path: readonly string[];
  readonly group: Readonly<Record<string, unknown>>;
  /** Tasks directly in it. */
  readonly taskIds: readonly string[];
};

/** Groups beneath the root, each before those within it. */
function* taskGroups(root: unknown): Generator<TaskGroup> {
  const open: { readonly group: unknown; readonly path: readonly string[] }[] = [{ group: root, path: [] }];
  for (let item = open.pop(); item; item = open.pop()) {
    const { group, path } = item;
    if (!isObject(group)) continue;
    const taskIds: string[] = [];
    for (const [id, child] of Object.entries(isObject(group.children) ? group.children : {})) {
      if (!Array.isArray(child)) continue;
      if (child[0] === 'taskgroup') open.push({ group: child[1], path: [...path, id] });
      else if (typeof child[1] === 'string') taskIds.push(child[1]);
    }
    if (path.length > 0) yield { path, group, taskIds };
  }
}

/** Mapped groups of the tree: their expansions, and the innermost one around each task. */
export function mappedGroups(root: unknown): {
  readonly expansions: ReadonlyMap<string, Expansion>;
  readonly groupOf: ReadonlyMap<string, string>;
} {
  const expansions = new Map<string, Expansion>();
  const groupOf = new Map<string, string>();
  for (const { path, group, taskIds } of taskGroups(root)) {
    if (group.is_mapped === true) expansions.set(path.at(-1)!, readExpansion(group.expand_input));
    const within = path.findLast((id) => expansions.has(id));
    if (within !== undefined) for (const taskId of taskIds) groupOf.set(taskId, within);
  }
  return { expansions, groupOf };
}

/** Task ids within a group of the tree, at any depth; null when there is no such group. */
export function tasksOfGroup(root: unknown, groupId: string): string[] | null {
  const within = [...taskGroups(root)].filter(({ path }) => path.includes(groupId));
  return within.length === 0 ? null : within.flatMap(({ taskIds }) => taskIds);
}
