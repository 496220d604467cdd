/** Random Dags, and what each of their tries comes to, as a pure function of a seed. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { TRIGGER_RULES, type TriggerRule } from '../../src/domain/trigger-rules.ts';
import { mappedOver, type TaskSpec } from './dags.ts';

/**
 * `mixed` has everything. The end of a run of the other two does not depend on the order in which its tasks end, so that it can
 * be compared with that of another history: in `fails` nothing is skipped, and in `skips` nothing fails for good. (A failure
 * after a skip changes nothing, one before it does; and a rule that needs not wait for a branch may run before it skips.)
 */
export type Family = 'mixed' | 'fails' | 'skips';

const KINDS = ['plain', 'empty', 'list', 'mapped', 'branch', 'pokes', 'defers', 'setup', 'teardown'] as const;
type Kind = (typeof KINDS)[number];

export type RandomTask = {
  readonly kind: Kind;
  readonly rule: number;
  /** Places of earlier tasks. */
  readonly after: readonly number[];
  readonly retries: number;
  /** 0 = the default pool. */
  readonly pool: number;
  readonly slots: number;
  readonly perDag: number | null;
  readonly perRun: number | null;
  readonly weight: number;
  readonly waitsForPast: boolean;
};
export type RandomDag = {
  readonly tasks: readonly RandomTask[];
  readonly maxActiveRuns: number;
  readonly maxActiveTasks: number;
  readonly timeout: boolean;
};
export type RandomPool = { readonly slots: number; readonly includeDeferred: boolean };
export type Setting = {
  readonly family: Family;
  readonly pools: readonly RandomPool[];
  readonly parallelism: number;
  readonly dags: readonly RandomDag[];
  /** Decides what tries come to. */
  readonly luck: number;
};

const MAX_TASKS = 7;
const limit = fc.option(fc.integer({ min: 1, max: 3 }), { nil: null, freq: 3 });
const task: fc.Arbitrary<RandomTask> = fc.record({
  kind: fc.constantFrom(...KINDS, 'plain', 'list'),
  rule: fc.nat(Object.keys(TRIGGER_RULES).length * 2),
  after: fc.array(fc.nat(MAX_TASKS - 2), { maxLength: 3 }),
  retries: fc.nat(2),
  pool: fc.nat(2),
  slots: fc.integer({ min: 1, max: 2 }),
  perDag: limit,
  perRun: limit,
  weight: fc.integer({ min: 1, max: 3 }),
  waitsForPast: fc.boolean(),
});
const dag: fc.Arbitrary<RandomDag> = fc.record({
  tasks: fc.array(task, { minLength: 2, maxLength: MAX_TASKS }),
  maxActiveRuns: fc.integer({ min: 1, max: 3 }),
  maxActiveTasks: fc.integer({ min: 1, max: 4 }),
  timeout: fc.boolean(),
});

export function settings(families: readonly Family[]): fc.Arbitrary<Setting> {
  return fc.record({
    family: fc.constantFrom(...families),
    pools: fc.array(fc.record({ slots: fc.integer({ min: 2, max: 4 }), includeDeferred: fc.boolean() }), {
      minLength: 2,
      maxLength: 2,
    }),
    parallelism: fc.integer({ min: 2, max: 8 }),
    dags: fc.array(dag, { minLength: 1, maxLength: 3 }),
    luck: fc.nat(1_000_000),
  });
}

const ALL_RULES = Object.keys(TRIGGER_RULES) as TriggerRule[];
const RULES_OF: Readonly<Record<Family, readonly TriggerRule[]>> = {
  mixed: ALL_RULES,
  fails: ['all_success', 'all_done', 'one_success', 'none_failed', 'none_failed_min_one_success', 'always'],
  skips: ALL_RULES,
};
/** These may let a task run before a branch above it has said that it is skipped. */
const RUN_EARLY: readonly TriggerRule[] = ['one_success', 'one_done', 'always'];

/** The tasks of a random Dag as they go into its document. */
export function tasksOf(dag: RandomDag, family: Family): TaskSpec[] {
  const kinds = dag.tasks.map(({ kind }) => kind);
  return dag.tasks.map((task, i) => {
    const source = kinds.lastIndexOf('list', i - 1);
    const setup = kinds.lastIndexOf('setup', i - 1);
    const kind = task.kind === 'mapped' && (i === 0 || source < 0) ? 'plain' : task.kind;
    const before = new Set(task.after.filter((n) => n < i));
    if (kind === 'mapped') before.add(source);
    if (kind === 'teardown' && i > 0 && setup >= 0) before.add(setup);
    const underBranch = [...before].some((n) => kinds[n] === 'branch');
    // Half of the numbers give the rule that most tasks have.
    const rules = RULES_OF[family].filter((rule) => !(family === 'skips' && underBranch && RUN_EARLY.includes(rule)));
    const spec: TaskSpec = {
      id: `t${i}`,
      after: [...before].map((n) => `t${n}`),
      trigger_rule: kind === 'teardown' ? 'all_done_setup_success' : (rules[task.rule] ?? 'all_success'),
      retries: task.retries,
      retry_delay: 60,
      priority_weight: task.weight,
      ...(task.pool === 0 ? {} : { pool: `pool${task.pool}`, pool_slots: task.slots }),
      ...(task.perDag === null ? {} : { max_active_tis_per_dag: task.perDag }),
      ...(task.perRun === null ? {} : { max_active_tis_per_dagrun: task.perRun }),
      // A past that has failed is waited for without end.
      ...(task.waitsForPast && family === 'skips' ? { depends_on_past: true } : {}),
    };
    switch (kind) {
      case 'empty':
        return { ...spec, _is_empty: true };
      case 'mapped':
        return { ...spec, ...mappedOver(`t${source}`) };
      case 'branch':
        return { ...spec, _can_skip_downstream: true };
      case 'setup':
        return { ...spec, is_setup: true };
      case 'teardown':
        return { ...spec, is_teardown: true, on_failure_fail_dagrun: task.rule % 2 === 0 };
      default:
        return spec;
    }
  });
}

/** A try as a worker knows it. */
export type Attempt = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly tryNumber: number;
  readonly maxTries: number;
  /** Pokes that this try has had. */
  readonly pokes: number;
  /** What it goes on with after a wait; null = it begins. */
  readonly method: string | null;
};
export type Outcome =
  | { readonly kind: 'success'; readonly length?: number; readonly followed?: readonly string[] }
  | { readonly kind: 'skipped' | 'poke' | 'defer' }
  | { readonly kind: 'fail'; readonly forGood: boolean };
export type TriggerWord = 'event' | 'failure' | 'success' | 'failed';

export type Outcomes = {
  readonly of: (attempt: Attempt) => Outcome;
  readonly ofTrigger: (attempt: Pick<Attempt, 'dagId' | 'runId' | 'taskId' | 'mapIndex' | 'tryNumber'>) => TriggerWord;
};

/** What tries come to: the same for the same seed, whoever asks and when. */
export function outcomesOf({ family, dags, luck }: Setting): Outcomes {
  const below = (end: number, ...about: readonly unknown[]) =>
    createHash('sha256')
      .update(JSON.stringify([luck, ...about]))
      .digest()
      .readUInt32BE(0) % end;
  const specs = dags.map((dag) => tasksOf(dag, family));
  const end = (a: Attempt): Outcome => {
    const dice = below(100, 'end', a.dagId, a.runId, a.taskId, a.mapIndex, a.tryNumber);
    const mayRetry = a.tryNumber <= a.maxTries;
    if (family === 'skips') {
      if (dice < 30 && mayRetry) return { kind: 'fail', forGood: false };
      if (dice >= 85) return { kind: 'skipped' };
    } else {
      if (dice < 25) return { kind: 'fail', forGood: false };
      if (dice < 32) return { kind: 'fail', forGood: true };
      if (dice >= 90 && family === 'mixed') return { kind: 'skipped' };
    }
    const place = Number(a.taskId.slice(1));
    const dag = Number(a.dagId.slice(1));
    const { kind } = dags[dag]!.tasks[place]!;
    const pick = below(4, 'result', a.dagId, a.runId, a.taskId);
    if (kind === 'list') return { kind: 'success', length: family === 'fails' ? Math.max(1, pick) : pick };
    if (kind === 'branch' && family !== 'fails') {
      const downstream = specs[dag]!.filter((spec) => spec.after?.includes(a.taskId)).map(({ id }) => id);
      return { kind: 'success', followed: downstream.filter((id) => below(2, 'branch', a.dagId, a.runId, id) === 1) };
    }
    return { kind: 'success' };
  };
  return {
    of: (a) => {
      if (a.method === '__fail__') return { kind: 'fail', forGood: true };
      const { kind } = dags[Number(a.dagId.slice(1))]!.tasks[Number(a.taskId.slice(1))]!;
      if (kind === 'defers' && a.method === null) return { kind: 'defer' };
      const pokes = below(3, 'pokes', a.dagId, a.runId, a.taskId, a.mapIndex, a.tryNumber);
      if (kind === 'pokes' && a.pokes < pokes) return { kind: 'poke' };
      return end(a);
    },
    ofTrigger: (a) => {
      const dice = below(10, 'trigger', a.dagId, a.runId, a.taskId, a.mapIndex, a.tryNumber);
      if (dice < 6) return 'event';
      if (dice < 8) return 'success';
      return family === 'skips' ? 'event' : dice === 8 ? 'failure' : 'failed';
    },
  };
}
