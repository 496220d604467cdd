/** From the ends of both sides to what is said of them: lines for a terminal, and the page in docs/. Pure. */
import { basename } from 'node:path';
import { differences } from './differ.ts';
import { EXCEPTIONS } from './exceptions.ts';
import type { Ends } from './keep.ts';
import type { RunEnd } from './side.ts';

/** One Dag, or one file that can't be imported, on both sides. */
export type Row = {
  readonly id: string;
  readonly theirs: string;
  readonly ours: string;
  /** `3 success, 1 skipped`, of Airflow's run. */
  readonly tasks: string;
  readonly xcoms: number;
  readonly differs: readonly string[];
  /** Why all of that may differ; null = it may not. */
  readonly reason: string | null;
};
export type Summary = {
  readonly rows: readonly Row[];
  readonly alike: number;
  /** Dags that differ without a reason in exceptions.ts. */
  readonly unexplained: readonly string[];
  readonly text: string;
};

const ABSENT: RunEnd = { state: 'no Dag', tasks: [], xcoms: new Map() };
const SHOWN = 6;

function counts(end: RunEnd): string {
  const by = new Map<string, number>();
  for (const { state } of end.tasks) by.set(state ?? 'none', (by.get(state ?? 'none') ?? 0) + 1);
  return [...by]
    .map(([state, n]) => `${n} ${state}`)
    .sort()
    .join(', ');
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';
/** What went wrong, without the class that only says where it was noticed. */
const kindOf = (text: string): string => /^[\w.]*?(\w+)(?::|$)/.exec(lastLine(text))?.[1] ?? '';

function reasonOf(id: string, differs: readonly string[]): string | null {
  const exception = Object.hasOwn(EXCEPTIONS, id) ? EXCEPTIONS[id]! : null;
  return exception && differs.every((each) => exception.covers.test(each)) ? exception.reason : null;
}

function rowsOfFiles(theirs: Ends, ours: Ends): Row[] {
  const byName = (ends: Ends) => new Map([...ends.errors].map(([file, text]) => [basename(file), text]));
  const [a, b] = [byName(theirs), byName(ours)];
  return [...new Set([...a.keys(), ...b.keys()])].sort().map((file) => {
    const [left, right] = [a.get(file), b.get(file)];
    const same = left !== undefined && right !== undefined && kindOf(left) === kindOf(right);
    const differs = same ? [] : [`${lastLine(left ?? 'none')} / ${lastLine(right ?? 'none')}`];
    return {
      id: file,
      theirs: left === undefined ? 'imported' : 'import error',
      ours: right === undefined ? 'imported' : 'import error',
      tasks: '',
      xcoms: 0,
      differs,
      reason: reasonOf(file, differs),
    };
  });
}

/** @param only these Dags; null = all */
export function summaryOf(theirs: Ends, ours: Ends, only: readonly string[] | null): Summary {
  const ids = only ?? [...new Set([...ours.ends.keys(), ...theirs.ends.keys()])].sort();
  const dags = ids.map((id): Row => {
    const [left, right] = [theirs.ends.get(id) ?? ABSENT, ours.ends.get(id) ?? ABSENT];
    const differs = differences(left, right, ours.edges.get(id) ?? null);
    return {
      id,
      theirs: left.state,
      ours: right.state,
      tasks: counts(left),
      xcoms: left.xcoms.size,
      differs,
      reason: reasonOf(id, differs),
    };
  });
  const rows = only === null ? [...dags, ...rowsOfFiles(theirs, ours)] : dags;
  const alike = rows.filter((row) => row.differs.length === 0).length;
  const unexplained = rows.filter((row) => row.differs.length > 0 && row.reason === null).map((row) => row.id);
  const lines = rows.map((row) => `| ${row.id} | ${row.theirs} | ${row.ours} | ${shown(row.differs)} |`);
  const end = `${alike} of ${rows.length} are alike; ${unexplained.length} differ without a reason.`;
  const text = ['| Dag | Airflow | Airlock | differs in |', '|---|---|---|---|', ...lines, '', end].join('\n');
  return { rows, alike, unexplained, text };
}

function shown(differs: readonly string[]): string {
  const more = differs.length > SHOWN ? ` (${differs.length})` : '';
  return differs.slice(0, SHOWN).join('; ').replaceAll('|', '\\|').replaceAll('\n', ' ') + more;
}

/** Rows of a page, by Dag or file. */
function rowsOf(page: string): Map<string, string> {
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| Dag, '));
  return new Map(rows.map((line) => [line.slice(2).split(' |', 1)[0]!, line]));
}

/** @param before the page that gets these rows in place of its own, and keeps the others; null = none is kept */
export function pageOf({ rows }: Pick<Summary, 'rows'>, before: string | null = null): string {
  const lines = before === null ? new Map<string, string>() : rowsOf(before);
  for (const row of rows) {
    const verdict = row.differs.length === 0 ? 'alike' : `differs: ${row.reason ?? shown(row.differs)}`;
    lines.set(row.id, `| ${row.id} | ${row.theirs} | ${row.tasks} | ${row.xcoms} | ${verdict} |`);
  }
  const alike = [...lines.values()].filter((line) => line.endsWith(' | alike |')).length;
  return [
    '# Airflow’s example Dags on Airlock',
    '',
    'Made by `npm run compare -- --examples --write docs/example-dags.md`, and rows of single Dags by the same with their names: the examples that come with Airflow 3.3.2 and with its',
    'standard provider, unmodified, each run once on Airflow (from PyPI, PostgreSQL, LocalExecutor) and once on Airlock with the same',
    'Task SDK. A run that has not ended after two minutes or more is compared as it stands. *Alike* means: the same end state of the run, the same states and tries of all task instances with their map indexes,',
    'the same XComs (of times, ids and paths only that they are there), and no task that ran before what it depends on. A request to',
    'a person is answered after a while, with its first option, on both sides. Two need plugins of Airflow’s examples, which both sides find by `[core] plugins_folder`. No service outside the machine could be reached on either side, but for an index of Python packages.',
    '',
    `${alike} of ${lines.size} are alike.`,
    '',
    '| Dag, or file | run on Airflow | its tasks | its XComs | Airlock |',
    '|---|---|---|---|---|',
    ...lines.values(),
    '',
  ].join('\n');
}
