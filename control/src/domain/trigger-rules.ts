/**
 * The trigger rules as one table: rule → decision from the states of the direct upstreams. Adding a rule is adding a row.
 * @see scheduling semantics 5.3
 */
import type { TaskInstanceState } from '@airlock/contract/states';

/** How many upstream task instances are in which final state. */
export type UpstreamCounts = {
  readonly total: number;
  readonly success: number;
  readonly failed: number;
  readonly upstreamFailed: number;
  readonly skipped: number;
  readonly removed: number;
  /** The setups among them, for the rule of teardowns. */
  readonly setups: { readonly total: number; readonly success: number; readonly skipped: number };
};

/** `run` = met; `wait` = not yet; a state is written at once. */
export type RuleDecision = 'run' | 'wait' | 'upstream_failed' | 'skipped';

type Rule = (counts: UpstreamCounts, done: boolean) => RuleDecision;

const failures = (c: UpstreamCounts): number => c.failed + c.upstreamFailed;
const whenDone = (done: boolean, decision: RuleDecision): RuleDecision => (done ? decision : 'wait');
/** Removed upstreams are treated as absent. */
const allSkipped = (c: UpstreamCounts): boolean => c.skipped > 0 && c.skipped + c.removed === c.total;

export const TRIGGER_RULES = {
  all_success: (c, done) => (failures(c) > 0 ? 'upstream_failed' : c.skipped > 0 ? 'skipped' : whenDone(done, 'run')),
  all_failed: (c, done) => (c.success + c.skipped > 0 ? 'skipped' : whenDone(done, 'run')),
  all_done: (_c, done) => whenDone(done, 'run'),
  all_done_min_one_success: (c, done) =>
    c.skipped > 0 ? 'skipped' : whenDone(done, c.success === 0 ? 'upstream_failed' : 'run'),
  all_done_setup_success: (c, done) => {
    if (!done || c.setups.total === 0) return whenDone(done, 'run');
    if (c.setups.skipped === c.setups.total) return 'skipped';
    return c.setups.success === 0 ? 'upstream_failed' : 'run';
  },
  one_success: (c, done) => (c.success > 0 ? 'run' : whenDone(done, allSkipped(c) ? 'skipped' : 'upstream_failed')),
  one_failed: (c, done) => (failures(c) > 0 ? 'run' : whenDone(done, 'skipped')),
  one_done: (c, done) => (c.success + c.failed > 0 ? 'run' : whenDone(done, 'skipped')),
  none_failed: (c, done) => (failures(c) > 0 ? 'upstream_failed' : whenDone(done, 'run')),
  none_failed_min_one_success: (c, done) => {
    if (failures(c) > 0) return 'upstream_failed';
    if (allSkipped(c)) return 'skipped';
    return whenDone(done, c.success === 0 ? 'upstream_failed' : 'run');
  },
  none_skipped: (c, done) => (c.skipped > 0 ? 'skipped' : whenDone(done, 'run')),
  all_skipped: (c, done) => (c.success + failures(c) > 0 ? 'skipped' : whenDone(done, 'run')),
  always: () => 'run',
} as const satisfies Record<string, Rule>;

export type TriggerRule = keyof typeof TRIGGER_RULES;

export function isTriggerRule(name: string): name is TriggerRule {
  return Object.hasOwn(TRIGGER_RULES, name);
}

/** Rules that fire before all upstreams are done: a task that awaits expansion must not expand too soon under them. */
export const EARLY_RULES: readonly TriggerRule[] = [
  'one_success',
  'one_failed',
  'one_done',
  'none_failed_min_one_success',
];

/** With no direct upstream every rule passes. */
export function decideTriggerRule(rule: TriggerRule, counts: UpstreamCounts): RuleDecision {
  if (counts.total === 0) return 'run';
  const done = counts.success + failures(counts) + counts.skipped + counts.removed === counts.total;
  return TRIGGER_RULES[rule](counts, done);
}

export type UpstreamState = { readonly state: TaskInstanceState | null; readonly isSetup: boolean };

/** Counts the states of upstream task instances. */
export function countUpstreams(upstreams: Iterable<UpstreamState>): UpstreamCounts {
  const counts = { total: 0, success: 0, failed: 0, upstreamFailed: 0, skipped: 0, removed: 0 };
  const setups = { total: 0, success: 0, skipped: 0 };
  for (const { state, isSetup } of upstreams) {
    counts.total += 1;
    if (isSetup) setups.total += 1;
    if (state === 'success') {
      counts.success += 1;
      if (isSetup) setups.success += 1;
    } else if (state === 'skipped') {
      counts.skipped += 1;
      if (isSetup) setups.skipped += 1;
    } else if (state === 'failed') counts.failed += 1;
    else if (state === 'upstream_failed') counts.upstreamFailed += 1;
    else if (state === 'removed') counts.removed += 1;
  }
  return { ...counts, setups };
}
