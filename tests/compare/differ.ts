/** What differs between two runs of one Dag. Pure. */
import type { RunEnd, TaskEnd } from './side.ts';

/** Values that no two runs share, such as times and ids, are not compared, only that they are there. */
const VOLATILE =
  /\d{4}-\d\d-\d\d[T ]\d|\d\d:\d\d:\d\d|\d{10,}|0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f]{4}-|\/tmp|\/run\/task|0\.\d{6,}|[0-9a-f]{32,}/;

/** A link into the own user interface: where that is differs from run to run. */
const withoutOrigin = (text: string): string => text.replace(/http:\/\/(?:127\.0\.0\.1|localhost):\d+\//, '/');

const nameOf = ({ task_id, map_index }: TaskEnd): string => (map_index < 0 ? task_id : `${task_id}[${map_index}]`);

/** Without the order of keys, which Airflow's database does not keep, nor that of the tasks that a branch names, a set's. */
function ordered(key: string, text: string): string {
  const isBranch = key.endsWith(' skipmixin_key');
  const inOrder = (_: string, value: unknown): unknown => {
    if (Array.isArray(value)) return isBranch ? value.toSorted() : value;
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  };
  try {
    return JSON.stringify(JSON.parse(text, inOrder));
  } catch {
    return text; // a refusal to show it
  }
}

const comparable = (key: string, text: string): string => ordered(key, withoutOrigin(text));

/** Sentences, none when the two are alike. @param edges pairs of task ids, upstream first; null = not to be looked at */
export function differences(
  theirs: RunEnd,
  ours: RunEnd,
  edges: ReadonlyArray<readonly [string, string]> | null,
): string[] {
  const found: string[] = [];
  if (theirs.state !== ours.state) found.push(`run ${theirs.state} / ${ours.state}`);
  const byName = (end: RunEnd) => new Map(end.tasks.map((task) => [nameOf(task), task]));
  const [a, b] = [byName(theirs), byName(ours)];
  for (const name of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const [left, right] = [a.get(name), b.get(name)];
    if (!left || !right) found.push(`${name}: ${left ? 'missing here' : 'only here'}`);
    else {
      if (left.state !== right.state) found.push(`${name}: ${left.state} / ${right.state}`);
      if (left.try_number !== right.try_number) found.push(`${name}: try ${left.try_number} / ${right.try_number}`);
    }
  }
  for (const key of [...new Set([...theirs.xcoms.keys(), ...ours.xcoms.keys()])].sort()) {
    const [left, right] = [theirs.xcoms.get(key), ours.xcoms.get(key)];
    if (left === undefined || right === undefined) found.push(`XCom ${key}: ${left ? 'missing here' : 'only here'}`);
    else if (comparable(key, left) !== comparable(key, right) && !(VOLATILE.test(left) && VOLATILE.test(right)))
      found.push(`XCom ${key}: ${left.slice(0, 80)} / ${right.slice(0, 80)}`);
  }
  if (edges !== null) found.push(...outOfOrder(ours, edges));
  return found;
}

/** Tasks that ran before one that they depend on had ended. */
export function outOfOrder(end: RunEnd, edges: ReadonlyArray<readonly [string, string]>): string[] {
  const ran = end.tasks.filter((task) => task.state === 'success' || task.state === 'failed');
  const found: string[] = [];
  for (const [up, down] of edges) {
    const ends = ran
      .filter((task) => task.task_id === up && task.end_date !== null)
      .map((task) => Date.parse(task.end_date!));
    const starts = ran
      .filter((task) => task.task_id === down && task.start_date !== null)
      .map((t) => Date.parse(t.start_date!));
    // A mapped task may begin one by one as its counterparts end; only one that begins before any has ended is wrong.
    if (ends.length > 0 && starts.length > 0 && Math.min(...starts) < Math.min(...ends))
      found.push(`${down} ran before ${up}`);
  }
  return found;
}
