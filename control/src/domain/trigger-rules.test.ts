import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TaskInstanceState } from '@airlock/contract/states';
import { countUpstreams, decideTriggerRule, TRIGGER_RULES, type TriggerRule } from './trigger-rules.ts';

const data = JSON.parse(
  readFileSync(new URL('../../test/data/trigger-rules-two-upstreams.json', import.meta.url), 'utf8'),
) as { rules: TriggerRule[]; vectors: { upstream: TaskInstanceState[]; outcome: Record<TriggerRule, string> }[] };

/** Where removed upstreams are treated as absent, which Airflow's own list of quirks asks for. */
const BETTER: Readonly<Record<string, string>> = {
  'all_skipped skipped,removed': 'run',
  'all_skipped removed,skipped': 'run',
  'all_skipped removed,removed': 'run',
  'none_failed_min_one_success skipped,removed': 'skipped',
  'none_failed_min_one_success removed,skipped': 'skipped',
  'one_success skipped,removed': 'skipped',
  'one_success removed,skipped': 'skipped',
};

test('the table has all rules of the vectors', () => {
  deepEqual(Object.keys(TRIGGER_RULES).sort(), data.rules.toSorted());
});

for (const rule of data.rules) {
  test(`${rule} decides as Airflow 3.3.2 for every pair of upstream states`, () => {
    for (const { upstream, outcome } of data.vectors) {
      const decision = decideTriggerRule(rule, countUpstreams(upstream.map((state) => ({ state, isSetup: false }))));
      const better = BETTER[`${rule} ${upstream.join()}`];
      equal(decision, better ?? outcome[rule], `${rule} over ${upstream.join(', ')}`);
    }
  });
}

test('a task without upstreams runs under every rule', () => {
  for (const rule of data.rules) equal(decideTriggerRule(rule, countUpstreams([])), 'run');
});
