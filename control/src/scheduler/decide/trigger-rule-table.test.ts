/**
 * Every trigger rule over every combination of the states of up to three upstreams, of mapped upstreams, inside a mapped
 * group and in the scope of setups, as the scheduler of Airflow 3.3.2 decided it. Made by control/test/airflow/trigger_rules.py,
 * which says how to make the table again.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { checkDagDocument } from '../../domain/dag-document.ts';
import { buildDagModel, type DagModel } from '../../domain/dag-model.ts';
import { createBoard } from './board.ts';
import { ruleVerdict } from './dependencies.ts';
import type { RunSnapshot, State, TiView } from './types.ts';

type Graph = { readonly g: string; readonly d: unknown };
type Vector = { readonly g: string; readonly s: Record<string, State>; readonly o: Record<string, string> };

const lines = gunzipSync(readFileSync(new URL('../../../test/data/trigger-rules-table.jsonl.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((text) => JSON.parse(text) as Graph | Vector);
const models = new Map<string, DagModel>();
for (const line of lines) if ('d' in line) models.set(line.g, buildDagModel(checkDagDocument(line.d)));
const vectors = lines.filter((line) => 'o' in line);

/** What we decide about the tasks whose state was not given, in the words of the table. */
function decided(vector: Vector): Record<string, string> {
  const model = models.get(vector.g)!;
  const rows: Record<string, State> = { ...vector.s };
  for (const task of model.tasks.values()) {
    const names = vector.g === 'group' ? [0, 1].map((index) => `${task.taskId}[${index}]`) : [task.taskId];
    for (const name of names) if (!(name in rows) && !(`${name}[0]` in rows)) rows[name] = null;
  }
  const tis = Object.entries(rows).map(([key, state]): TiView => {
    const [, taskId, index] = /^(.*?)(?:\[(\d+)\])?$/.exec(key)!;
    const mapIndex = index === undefined ? -1 : Number(index);
    return {
      id: key,
      taskId: taskId!,
      mapIndex,
      state,
      tryNumber: state === null ? 0 : 1,
      versionId: 'v',
      retryAtMs: null,
      rescheduleAtMs: null,
      skippedAtMs: null,
    };
  });
  const snapshot: RunSnapshot = {
    nowMs: 0,
    run: { id: 1, logicalDateMs: null, startDateMs: 0, versionId: 'v', paused: false },
    model,
    tis,
    lengths: new Map(),
    resultCounts: new Map(),
    skips: new Map(),
    previous: null,
  };
  const board = createBoard(snapshot);
  const decisions = board
    .all()
    .filter((row) => row.state === null)
    .map((row) => {
      const verdict = ruleVerdict(model, board, model.tasks.get(row.taskId)!, row.mapIndex);
      return [row.origin!.id, verdict === 'ready' ? 'run' : verdict];
    });
  return Object.fromEntries(decisions.filter(([, verdict]) => verdict !== 'wait'));
}

/** Where a removed upstream counts as absent, which Airflow's own list of quirks asks for. */
function expected({ g, s, o }: Vector): Record<string, string> {
  const upstreams = (name: string) => {
    const index = /\[\d+\]$/.exec(name)?.[0];
    const states = Object.entries(s).filter(([key]) =>
      g === 'setups' ? key === 'u0' : index ? key.endsWith(index) : true,
    );
    return states.map(([, state]) => state);
  };
  const better: Record<string, string> = { ...o };
  for (const task of models.get(g)!.tasks.values()) {
    for (const name of g === 'group' ? [0, 1].map((index) => `${task.taskId}[${index}]`) : [task.taskId]) {
      const states = upstreams(name);
      // A setup that did not succeed decides before the rule does.
      if (g === 'setups' && (s.s0 !== 'success' || s.s1 !== 'success')) continue;
      if (name in s || states.length === 0) continue;
      if (!states.includes('removed') || !states.every((state) => state === 'removed' || state === 'skipped')) continue;
      const rule = task.triggerRule;
      if (rule === 'all_skipped') better[name] = 'run';
      if (!states.includes('skipped')) continue;
      if (rule === 'one_success' || rule === 'none_failed_min_one_success') better[name] = 'skipped';
    }
  }
  return better;
}

test('all trigger rules decide as the scheduler of Airflow 3.3.2, over all states of up to three upstreams', (t) => {
  equal(models.size, 7);
  equal(vectors.length, 6 + 36 + 216 + 216 + 216 + 216 + 36);
  let decisions = 0;
  let deliberate = 0;
  for (const vector of vectors) {
    const ours = decided(vector);
    const theirs = expected(vector);
    deepEqual(ours, theirs, `${vector.g} ${JSON.stringify(vector.s)}`);
    const tasks = models.get(vector.g)!.tasks.size;
    decisions += tasks - Object.keys(vector.s).length;
    deliberate += Object.entries(theirs).filter(([name, state]) => vector.o[name] !== state).length;
  }
  t.diagnostic(
    `${vectors.length} combinations, ${decisions} decisions equal; in ${deliberate} a removed upstream counts as absent`,
  );
  ok(deliberate < decisions / 50);
});
