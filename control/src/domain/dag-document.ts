/**
 * The check of a serialized Dag on arrival. A parser child is untrusted: whatever it sends is unknown until this has read it,
 * and a document that passes can be loaded, scheduled and drawn. Stricter than the wire's own schema, which checks no tasks.
 * @see serialized Dag 2, 5, 10, 13
 */
import { CALLBACK_NEEDS_ARG, type DagDocument, type TaskDocument } from '@airlock/contract/dag/document';
import { NEEDS_FIELD, needs } from '@airlock/contract/dag/needs';
import { AppError } from '@airlock/contract/errors';
import { DAG_RUN_TYPES } from '@airlock/contract/states';
import { dagShape } from './document-shape.ts';
import { buildTimetable } from './timetables/index.ts';
import { zoneOf } from './timetables/zone.ts';
import { isTriggerRule } from './trigger-rules.ts';
import { depthOf, isObject, untag } from './values.ts';

export const MAX_TASKS = 10_000;
export const MAX_EDGES = 200_000;
export const MAX_DOCUMENT_DEPTH = 64;
/** UTF-16 units of the document as JSON. */
export const MAX_DOCUMENT_LENGTH = 8 * 1024 * 1024;

function refuse(message: string, remedy?: string): never {
  throw new AppError('DAG_INVALID', remedy === undefined ? { public: message } : { public: message, remedy });
}

/**
 * Reads one envelope as a parser sent it.
 * @returns the same value, now known to be a Dag: unique ids, known rules, no cycle, a timetable that can be evaluated.
 * @throws DAG_INVALID with a message that the author of the file can act on
 */
export function checkDagDocument(untrusted: unknown): DagDocument {
  if (depthOf(untrusted, MAX_DOCUMENT_DEPTH) > MAX_DOCUMENT_DEPTH) {
    refuse(`The Dag is nested more than ${MAX_DOCUMENT_DEPTH} levels deep.`);
  }
  const text = JSON.stringify(untrusted) ?? '';
  const { length } = text;
  // PostgreSQL's text can't hold it, and no name or text needs it.
  if (text.includes('\\u0000')) refuse('The Dag holds a NUL character.');
  if (length > MAX_DOCUMENT_LENGTH) refuse(`The Dag has ${length} characters; ${MAX_DOCUMENT_LENGTH} are allowed.`);
  const shape = dagShape.safeParse(untrusted);
  if (!shape.success) {
    const issue = shape.error.issues[0]!;
    refuse(`The Dag can't be read: ${issue.path.map(String).join('.') || 'document'}: ${issue.message}.`);
  }
  const document = untrusted as DagDocument;
  const { dag } = document;
  const name = `Dag ${JSON.stringify(dag.dag_id)}`;
  const tasks = dag.tasks.map((wrapped) => wrapped.__var);
  if (tasks.length > MAX_TASKS) refuse(`${name} has ${tasks.length} tasks; ${MAX_TASKS} are allowed.`);
  if (dag.timezone !== undefined) zoneOf(dag.timezone);
  const timetable = buildTimetable(dag.timetable);
  if (timetable.type === 'ContinuousTimetable' && (dag.max_active_runs ?? 16) > 1) {
    refuse(`${name} is scheduled @continuous and allows more than one active run.`, 'Set max active runs to 1.');
  }
  for (const type of dag.allowed_run_types ?? []) {
    if (!(DAG_RUN_TYPES as readonly string[]).includes(type))
      refuse(`${name} allows runs of the unknown type ${JSON.stringify(type)}.`);
  }
  checkTasks(name, dag.fail_fast === true, tasks);
  const defaults = untag(dag.default_args);
  if (isObject(defaults)) checkNeeds(name, defaults[CALLBACK_NEEDS_ARG]);
  checkGraph(name, tasks);
  return document;
}

function checkTasks(name: string, failFast: boolean, tasks: readonly TaskDocument[]): void {
  const seen = new Set<string>();
  for (const task of tasks) {
    const where = `${name}, task ${JSON.stringify(task.task_id)}`;
    if (seen.has(task.task_id))
      refuse(`${name} has two tasks with the id ${JSON.stringify(task.task_id)}.`, 'Give each task its own id.');
    seen.add(task.task_id);
    const rule = (task.trigger_rule ?? task.partial_kwargs?.trigger_rule ?? 'all_success') as unknown;
    if (typeof rule !== 'string' || !isTriggerRule(rule))
      refuse(`${where}: ${JSON.stringify(rule)} is no trigger rule.`);
    const teardown = task.is_teardown === true || task.partial_kwargs?.is_teardown === true;
    if (failFast && !teardown && rule !== 'all_success' && rule !== 'all_done_setup_success') {
      refuse(`${where}: in a Dag that fails fast every task uses the trigger rule all_success.`);
    }
    const weight = task.weight_rule ?? 'downstream';
    if (!['downstream', 'upstream', 'absolute'].includes(weight))
      refuse(`${where}: ${JSON.stringify(weight)} is no weight rule.`);
    if (task._is_mapped === true) {
      const field = task._expand_input_attr;
      if (field === undefined || typeof task[field] !== 'object' || task.partial_kwargs === undefined) {
        refuse(`${where} is mapped, but its mapping is missing.`);
      }
    }
    checkNeeds(where, task[NEEDS_FIELD]);
  }
}

function checkNeeds(where: string, text: unknown): void {
  if (text === undefined) return;
  try {
    if (typeof text === 'string' && needs.safeParse(JSON.parse(text)).success) return;
  } catch {
    // Not JSON: refused below like any other text that is no list of needs.
  }
  refuse(`${where}: its needs can't be read.`);
}

/** Every edge leads to a task, and no path leads back to its start. Iterative: a chain of 10,000 must not overflow the stack. */
function checkGraph(name: string, tasks: readonly TaskDocument[]): void {
  const downstream = new Map(tasks.map((task) => [task.task_id, task.downstream_task_ids ?? []] as const));
  const waiting = new Map<string, number>(tasks.map((task) => [task.task_id, 0]));
  let edges = 0;
  for (const [from, targets] of downstream) {
    for (const to of new Set(targets)) {
      const count = waiting.get(to);
      if (count === undefined)
        refuse(`${name}: task ${JSON.stringify(from)} leads to ${JSON.stringify(to)}, which is not in the Dag.`);
      waiting.set(to, count + 1);
      edges += 1;
    }
  }
  if (edges > MAX_EDGES) refuse(`${name} has ${edges} dependencies; ${MAX_EDGES} are allowed.`);
  const ready = [...waiting].filter(([, count]) => count === 0).map(([id]) => id);
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    waiting.delete(id);
    for (const to of new Set(downstream.get(id))) {
      const left = waiting.get(to)! - 1;
      waiting.set(to, left);
      if (left === 0) ready.push(to);
    }
  }
  if (waiting.size > 0)
    refuse(
      `${name} has a cycle: ${cycleIn(downstream, new Set(waiting.keys()))}.`,
      'Remove one of these dependencies.',
    );
}

/** Names one cycle among tasks of which each is waited for by another of them. */
function cycleIn(downstream: ReadonlyMap<string, readonly string[]>, left: ReadonlySet<string>): string {
  // Walk upstream: each task that was left over has an upstream that was left over, so the walk must come around.
  const upstream = new Map<string, string>();
  for (const from of left) for (const to of downstream.get(from) ?? []) if (left.has(to)) upstream.set(to, from);
  const path: string[] = [];
  let at = [...left][0]!;
  while (!path.includes(at)) {
    path.push(at);
    at = upstream.get(at)!;
  }
  const cycle = [at, ...path.slice(path.indexOf(at) + 1).reverse(), at];
  const shown = cycle.length > 12 ? [...cycle.slice(0, 10), '…', at] : cycle;
  return shown.join(' → ');
}
