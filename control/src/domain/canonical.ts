/**
 * The digest that decides whether a Dag has changed. Our own canonical form, since Airflow's ignores the order of lists that
 * have one and depends on the parsing machine's paths: object keys sorted, numbers by value, and what has no order (tasks,
 * downstream ids, tags, sets, derived dependencies) sorted; paths of the parsing machine left out.
 * @see serialized Dag 11
 */
import { createHash } from 'node:crypto';
import type { DagDocument } from '@airlock/contract/dag/document';
import { isObject, isTagged } from './values.ts';

/** Fields that name places on the parsing machine. */
const MACHINE_FIELDS = new Set(['fileloc', '_processor_dags_folder']);
/** Fields of the Dag whose lists have no order. */
const UNORDERED_DAG_FIELDS = new Set(['tasks', 'tags', 'dag_dependencies', 'allowed_run_types']);
const UNORDERED_TASK_FIELDS = new Set(['downstream_task_ids']);

/** JSON text with sorted keys; equal values give equal bytes. `sortLists` = names of fields whose lists are sorted too. */
export function canonical(value: unknown, sortLists: ReadonlySet<string> = new Set()): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, sortLists)).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? 'null';
  const sorted = isTagged(value) && value.__type === 'set' ? { ...value, __var: sortedList(value.__var) } : value;
  const fields = Object.entries(sorted)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => {
      const shown = sortLists.has(key) ? sortedList(item) : key === '_task_module' ? withoutPath(item) : item;
      return `${JSON.stringify(key)}:${canonical(shown, sortLists)}`;
    });
  return `{${fields.join(',')}}`;
}

function sortedList(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value
    .map((item) => [canonical(item, UNORDERED_TASK_FIELDS), item] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, item]) => item);
}

/** Classes of a Python Dag file live in a module whose name holds a hash of the file's path. */
function withoutPath(value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/^unusual_prefix_[0-9a-f]{40}_/, 'unusual_prefix_') : value;
}

/**
 * SHA-256, 64 hex digits, of a document's canonical form and of what its tasks run.
 * @param moduleHash content hash of the bundled module, null where the code is not ours to hold (Python)
 */
export function canonicalDigest(document: DagDocument, moduleHash: string | null): string {
  const dag = Object.fromEntries(
    Object.entries(document.dag)
      .filter(([key]) => !MACHINE_FIELDS.has(key))
      .map(([key, value]) => [key, UNORDERED_DAG_FIELDS.has(key) ? sortedList(value) : value]),
  );
  const text = canonical(
    { version: 1, defaults: document.client_defaults ?? null, dag, moduleHash },
    UNORDERED_TASK_FIELDS,
  );
  return createHash('sha256').update(text).digest('hex');
}
