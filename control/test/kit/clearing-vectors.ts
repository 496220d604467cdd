/** Requests that clear and mark, with what Airflow 3.3.2 made of them, and where Airlock deliberately does otherwise. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export type State = string | null;
export type Profile = {
  readonly r: Readonly<Record<string, string>>;
  /** Run, task, index, state, try, budget. */
  readonly t: ReadonlyArray<readonly [string, string, number, State, number, number]>;
  /** Run, task, index, try, state. */
  readonly h: ReadonlyArray<readonly [string, string, number, number, string]>;
  /** Rows that carry a note. */
  readonly n: ReadonlyArray<readonly [string, string, number]>;
};
export type Shape = {
  readonly d: readonly unknown[];
  readonly dag: string;
  /** Name, logical date, pinned to the first version. */
  readonly runs: ReadonlyArray<readonly [string, string | null, boolean]>;
  readonly profiles: readonly Profile[];
};
/** State, try, budget, note, whether the id is a new one, tries that have ended. */
export type Row = readonly [State, number, number, string | null, boolean, ReadonlyArray<readonly [number, string]>];
/** State, clears, queued anew, begun, ended, version that it is pinned to. */
export type Run = readonly [string, number, boolean, boolean, boolean, number | null];
/** Run, task, index, state, try, budget, note; or the name of a task that would come. */
export type Listed = readonly [string, string, number, State, number, number, string | null] | readonly [string];
export type Changes = {
  readonly tis: Readonly<Record<string, Row | null>>;
  readonly runs: Readonly<Record<string, Run>>;
};
export type Case = {
  readonly p: number;
  readonly q: readonly [string, string, Readonly<Record<string, unknown>>];
  readonly s: number;
  readonly e?: unknown;
  readonly a?: readonly Listed[];
  readonly c?: Changes;
};

export const keyOf = (run: string, task: string, index: number): string => `${run} ${task} ${index}`;

export function readVectors(): { shape: Shape; cases: Case[] }[] {
  const shapes: { shape: Shape; cases: Case[] }[] = [];
  const text = gunzipSync(readFileSync(new URL('../data/clearing.jsonl.gz', import.meta.url))).toString('utf8');
  for (const line of text.trimEnd().split('\n')) {
    const read = JSON.parse(line) as Shape | Case;
    if ('d' in read) shapes.push({ shape: read, cases: [] });
    else shapes.at(-1)!.cases.push(read);
  }
  return shapes;
}

/** Where only the status is compared, because Airflow's rows are no example. */
const NOT_COMPARED: Readonly<Record<string, (shape: Shape, each: Case) => boolean>> = {
  'Airflow fails': (_, { s }) => s >= 500,
  'what has just been marked as failed is cleared at once': (_, { q: [method, path, body], c }) =>
    method === 'PATCH' &&
    c !== undefined &&
    body.new_state === 'failed' &&
    (body.include_downstream === true || body.include_upstream === true) &&
    path.includes('Instances'),
  // Marks leave runs out that a clear of the same range takes, and clears run after marks in runs that were not marked.
  'the runs of a mark are not those of the clear that follows it': ({ dag }, { q: [method, path, body] }) => {
    const wide = [body.include_past, body.include_future].filter((flag) => flag === true).length;
    const odd = wide === 2 || dag === 'daily' || dag === 'continuous' || path.includes('.x/');
    return method === 'PATCH' && wide > 0 && odd;
  },
};

const ENDED: readonly State[] = ['success', 'failed', 'upstream_failed', 'skipped', 'removed'];
const HELD: readonly State[] = ['running', 'restarting'];
const RUNNING_LIKE: readonly State[] = ['running', 'deferred', 'up_for_reschedule', 'awaiting_input'];
type Change = (key: string, row: Row, was: State | undefined) => Row | null;

function withRows(expected: Case, change: Change, was: ReadonlyMap<string, State>): Case {
  const { a, c } = expected;
  const rows =
    c &&
    Object.entries(c.tis).flatMap(([key, row]) => {
      const now = row && change(key, row, was.get(key));
      return now ? [[key, now] as const] : [];
    });
  return {
    ...expected,
    ...(c && rows ? { c: { ...c, tis: Object.fromEntries(rows) } } : {}),
    ...(a && c ? { a: a.map((listed) => relisted(listed, change, was)) } : {}),
  };
}

function relisted(listed: Listed, change: Change, was: ReadonlyMap<string, State>): Listed {
  if (listed.length === 1) return listed;
  const [run, task, index, state, tries, budget, note] = listed;
  const key = keyOf(run, task, index);
  const now = change(key, [state, tries, budget, note, true, []], was.get(key));
  return now ? [run, task, index, now[0], now[1], now[2], now[3]] : listed;
}

/** Where all is compared, after one thing in Airflow's rows has been put as Airlock has it. */
const PUT_RIGHT: Readonly<Record<string, (each: Case, was: ReadonlyMap<string, State>) => Case>> = {
  'a cleared try whose process may still be there is waited for, however often it is cleared': (each, was) =>
    each.q[0] !== 'POST'
      ? each
      : withRows(
          each,
          (_, row, state) => (state === 'restarting' && row[0] === null ? ['restarting', ...tail(row)] : row),
          was,
        ),
  'an empty note removes the note, in a clear too': (each, was) =>
    each.q[1] !== '/clearTaskInstances' || each.q[2].note !== ''
      ? each
      : withRows(each, (_, [state, tries, budget, , ...rest]) => [state, tries, budget, null, ...rest], was),
  'the answer to a clear shows the note that came with it': (each, was) => {
    const { note } = each.q[2];
    if (each.q[1] !== '/clearTaskInstances' || typeof note !== 'string' || note === '' || !each.c) return each;
    const { a } = withRows(each, (_, [state, tries, budget, , ...rest]) => [state, tries, budget, note, ...rest], was);
    return a ? { ...each, a } : each;
  },
  'the end of a run by hand leaves what has ended, and what has not begun is skipped, in mapped tasks too': (
    each,
    was,
  ) =>
    each.q[0] !== 'PATCH' || each.q[2].state === undefined
      ? each
      : withRows(
          each,
          (_, row, state) =>
            ENDED.includes(state ?? null)
              ? null
              : RUNNING_LIKE.includes(state ?? null)
                ? row
                : ['skipped', ...tail(row)],
          was,
        ),
  'rows of tasks that a newer version adds or drops follow when the scheduler looks at the run': (each, was) =>
    each.q[2].run_on_latest_version !== true && each.q[2].only_new !== true
      ? each
      : withRows(
          each,
          (key, row, state) => {
            if (!was.has(key)) return each.q[2].only_new ? row : null;
            if (row[0] !== 'removed') return row;
            return row[4] ? [HELD.includes(state ?? null) ? 'restarting' : null, ...tail(row)] : null;
          },
          was,
        ),
  'a run stays pinned when it gets the tasks of a newer version: the bundle of the vectors has no versions to pin it to':
    (each) => {
      const runs = Object.entries(each.c?.runs ?? {});
      if (each.q[2].only_new !== true || !each.q[1].includes('.r2/') || runs.length === 0) return each;
      const pinned = runs.map(([id, row]) => [id, [row[0], row[1], row[2], row[3], row[4], 2] as const]);
      return { ...each, c: { ...each.c!, runs: Object.fromEntries(pinned) } };
    },
};

const tail = ([, tries, budget, note, isNew, ended]: Row) => [tries, budget, note, isNew, ended] as const;

/** What Airlock is expected to do, with the names of the differences that this takes into account. */
export function expectedOf(shape: Shape, each: Case): { expected: Case; compared: boolean; reasons: string[] } {
  const not = Object.entries(NOT_COMPARED).filter(([, matches]) => matches(shape, each));
  if (not.length > 0) return { expected: each, compared: false, reasons: not.map(([reason]) => reason) };
  const was = new Map(shape.profiles[each.p]!.t.map(([run, task, index, state]) => [keyOf(run, task, index), state]));
  const reasons: string[] = [];
  let expected = each;
  for (const [reason, put] of Object.entries(PUT_RIGHT)) {
    const next = put(expected, was);
    if (JSON.stringify(next) !== JSON.stringify(expected)) reasons.push(reason);
    expected = next;
  }
  return { expected, compared: true, reasons };
}

export const DIFFERENCES: readonly string[] = [...Object.keys(NOT_COMPARED), ...Object.keys(PUT_RIGHT)];
