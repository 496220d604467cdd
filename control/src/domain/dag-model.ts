/**
 * A checked document as the scheduler and the APIs read it: every task with its resolved values, edges in both directions,
 * weights, groups, timetable. Built once per version and shared; never changed.
 * @see serialized Dag 5, 6, 7, 12
 */
import {
  CALLBACK_NEEDS_ARG,
  type DagDocument,
  type TaskDocument,
  TYPESCRIPT_TASK_MODULE,
} from '@airlock/contract/dag/document';
import { encodeNeeds, NEEDS_FIELD, NO_NEEDS } from '@airlock/contract/dag/needs';
import { type AssetCondition, readAssetCondition } from './asset-condition.ts';
import { type AssetUse, readAssetUses } from './assets.ts';
import { type DeadlineDefinition, readDeadlines } from './deadlines.ts';
import { type Expansion, mappedGroups, readExpansion } from './mapping.ts';
import { type ParamDefinition, readParams } from './params.ts';
import type { RetryPolicy } from './retries.ts';
import { type SetupScopes, scopesOf } from './setup-teardown.ts';
import { readStartTrigger, type StartTrigger } from './start-trigger.ts';
import { buildTimetable, type Restriction, type Timetable } from './timetables/index.ts';
import type { TriggerRule } from './trigger-rules.ts';
import { untag } from './values.ts';
import { readWatchers, type Watcher } from './watchers.ts';
import { priorityWeights, type WeightRule } from './weights.ts';

export type TaskModel = {
  readonly taskId: string;
  readonly taskType: string;
  /** What people see as the operator's name. */
  readonly operatorName: string;
  readonly displayName: string;
  /** `typescript` tasks run in our runner, `python` ones through the Task SDK. */
  readonly runtime: 'typescript' | 'python';
  readonly upstream: readonly string[];
  readonly downstream: readonly string[];
  readonly triggerRule: TriggerRule;
  readonly dependsOnPast: boolean;
  readonly waitForDownstream: boolean;
  readonly ignoreFirstDependsOnPast: boolean;
  readonly retries: number;
  readonly retry: RetryPolicy;
  readonly executionTimeoutSeconds: number | null;
  readonly startDateMs: number | null;
  readonly endDateMs: number | null;
  readonly maxActiveTisPerDag: number | null;
  readonly maxActiveTisPerDagrun: number | null;
  readonly pool: string;
  readonly poolSlots: number;
  /** The author's own weight, and the one that counts for order. */
  readonly priorityWeight: number;
  readonly totalWeight: number;
  readonly weightRule: WeightRule;
  readonly queue: string;
  readonly executor: string | null;
  /** Tagged, opaque to the scheduler. */
  readonly executorConfig: unknown;
  readonly owner: string;
  /** Done without a worker: empty, with no callback, inlet or outlet. */
  readonly completesAtOnce: boolean;
  /** What it waits for before any worker is asked for; null = nothing. */
  readonly startTrigger: StartTrigger | null;
  readonly isSensor: boolean;
  readonly isSetup: boolean;
  readonly isTeardown: boolean;
  readonly onFailureFailDagrun: boolean;
  readonly canSkipDownstream: boolean;
  /** How the task itself is mapped; null = it is not. */
  readonly expansion: Expansion | null;
  /** The innermost mapped group around the task; null = none. */
  readonly mappedGroup: string | null;
  /** Canonical needs; null = the task declares none. */
  readonly needs: string | null;
  /** Callbacks that the server starts when the try could not run them itself. */
  readonly callbacks: { readonly failure: boolean; readonly retry: boolean };
  readonly document: TaskDocument;
};

export type DagModel = {
  readonly dagId: string;
  readonly displayName: string;
  readonly timezone: string | number;
  readonly timetable: Timetable;
  readonly catchup: boolean;
  /** Null = the server's setting. */
  readonly maxActiveRuns: number | null;
  readonly maxActiveTasks: number | null;
  readonly maxConsecutiveFailedDagRuns: number;
  readonly startDateMs: number | null;
  readonly endDateMs: number | null;
  readonly dagrunTimeoutSeconds: number | null;
  readonly failFast: boolean;
  readonly allowedRunTypes: readonly string[] | null;
  readonly isPausedUponCreation: boolean | null;
  readonly rerunWithLatestVersion: boolean | null;
  readonly disableBundleVersioning: boolean;
  readonly params: readonly ParamDefinition[];
  readonly tags: readonly string[];
  readonly assets: readonly AssetUse[];
  /** Which events of assets make a run; null = none do. */
  readonly assetCondition: AssetCondition;
  /** Triggers of assets in its schedule. */
  readonly watchers: readonly Watcher[];
  readonly owners: string;
  readonly description: string | null;
  /** By task id, upstream before downstream. */
  readonly tasks: ReadonlyMap<string, TaskModel>;
  /** Group id → how it is mapped. */
  readonly mappedGroups: ReadonlyMap<string, Expansion>;
  readonly scopes: SetupScopes;
  /** True when any task declares needs: then the undeclared is refused for all of them. */
  readonly declaresNeeds: boolean;
  /** Callbacks that the Dag has for the end of a run. */
  readonly callbacks: { readonly success: boolean; readonly failure: boolean };
  /** What the Dag's own callbacks may read; null = the Dag declares nothing. */
  readonly callbackNeeds: string | null;
  readonly deadlines: readonly DeadlineDefinition[];
  readonly document: DagDocument;
};

/** Values that a reader falls back to, the last of three layers. @see serialized Dag 5.1 to 5.4, 6 */
const TASK_DEFAULTS: Readonly<Record<string, unknown>> = {
  task_type: 'BaseOperator',
  trigger_rule: 'all_success',
  retries: 0,
  retry_delay: 300,
  retry_exponential_backoff: 0,
  pool: 'default_pool',
  pool_slots: 1,
  priority_weight: 1,
  weight_rule: 'downstream',
  queue: 'default',
  owner: 'airflow',
};

type Resolve = (field: string) => unknown;

/** The first of: the task's own value, its `partial_kwargs`, the author's installation, the default. */
function resolver(task: TaskDocument, clientDefaults: Readonly<Record<string, unknown>>): Resolve {
  return (field) => {
    const own = task[field] ?? untag(task.partial_kwargs?.[field]);
    return own ?? clientDefaults[field] ?? TASK_DEFAULTS[field] ?? null;
  };
}

const numberOr = <T>(value: unknown, otherwise: T): number | T =>
  typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
const textOr = <T>(value: unknown, otherwise: T): string | T => (typeof value === 'string' ? value : otherwise);
const instantMs = (seconds: unknown): number | null =>
  typeof seconds === 'number' ? Math.round(seconds * 1000) : null;
/** `partial_kwargs` carries instants as tagged values, which untag turns into ISO text. */
const anyInstantMs = (value: unknown): number | null =>
  typeof value === 'string' ? Date.parse(value) : instantMs(value);
const multiplier = (value: unknown): number => (value === true ? 2 : numberOr(value, 0));
const positiveOrNull = (value: unknown): number | null => (typeof value === 'number' && value > 0 ? value : null);
const hasItems = (value: unknown): boolean => Array.isArray(value) && value.length > 0;

/** @param document one that `checkDagDocument` has passed */
export function buildDagModel(document: DagDocument): DagModel {
  const { dag } = document;
  const clientDefaults = document.client_defaults?.tasks ?? {};
  const documents = new Map(dag.tasks.map(({ __var }) => [__var.task_id, __var] as const));
  const order = topologicalOrder(documents);
  const upstream = new Map<string, string[]>(order.map((id) => [id, []]));
  const downstream = new Map<string, readonly string[]>();
  for (const id of order) {
    const targets = [...new Set(documents.get(id)?.downstream_task_ids ?? [])].sort();
    downstream.set(id, targets);
    for (const to of targets) upstream.get(to)?.push(id);
  }
  const groups = mappedGroups(dag.task_group);
  const resolved = new Map(order.map((id) => [id, resolver(documents.get(id)!, clientDefaults)] as const));
  const weights = priorityWeights(
    order.map((id) => ({
      id,
      own: numberOr(resolved.get(id)!('priority_weight'), 1),
      rule: resolved.get(id)!('weight_rule') as WeightRule,
    })),
    upstream,
    downstream,
  );
  const tasks = new Map(
    order.map((id) => [
      id,
      buildTask(documents.get(id)!, resolved.get(id)!, {
        upstream: upstream.get(id)!,
        downstream: downstream.get(id)!,
        totalWeight: weights.get(id)!,
        mappedGroup: groups.groupOf.get(id) ?? null,
      }),
    ]),
  );
  const startDateMs = instantMs(dag.start_date);
  const declaresNeeds = [...tasks.values()].some((task) => task.needs !== null);
  return {
    dagId: dag.dag_id,
    displayName: dag.dag_display_name ?? dag.dag_id,
    timezone: dag.timezone ?? 'UTC',
    timetable: buildTimetable(dag.timetable),
    catchup: dag.catchup === true,
    maxActiveRuns: dag.max_active_runs ?? null,
    maxActiveTasks: dag.max_active_tasks ?? null,
    maxConsecutiveFailedDagRuns: dag.max_consecutive_failed_dag_runs ?? 0,
    startDateMs,
    endDateMs: instantMs(dag.end_date),
    dagrunTimeoutSeconds: positiveOrNull(dag.dagrun_timeout),
    failFast: dag.fail_fast === true,
    allowedRunTypes: dag.allowed_run_types ?? null,
    isPausedUponCreation: dag.is_paused_upon_creation ?? null,
    rerunWithLatestVersion: dag.rerun_with_latest_version ?? null,
    disableBundleVersioning: dag.disable_bundle_versioning === true,
    params: readParams(dag.params ?? []),
    tags: [...new Set(dag.tags ?? [])].sort(),
    assets: readAssetUses(document),
    assetCondition: readAssetCondition(document),
    watchers: readWatchers(document),
    owners: [...new Set([...tasks.values()].map((task) => task.owner))].sort().join(', '),
    description: dag.description ?? null,
    tasks,
    mappedGroups: groups.expansions,
    scopes: scopesOf(tasks),
    declaresNeeds,
    callbacks: {
      success: dag.has_on_success_callback === true,
      failure: dag.has_on_failure_callback === true,
    },
    deadlines: readDeadlines(dag.deadline),
    callbackNeeds: callbackNeeds(dag.default_args) ?? (declaresNeeds ? encodeNeeds(NO_NEEDS) : null),
    document,
  };
}

/** Rides where every reader expects any names: a document's own fields are closed. */
function callbackNeeds(defaultArgs: unknown): string | null {
  const args = untag(defaultArgs) as Readonly<Record<string, unknown>> | null | undefined;
  const text = typeof args === 'object' && args !== null ? args[CALLBACK_NEEDS_ARG] : undefined;
  return typeof text === 'string' ? text : null;
}

type Place = Pick<TaskModel, 'upstream' | 'downstream' | 'totalWeight' | 'mappedGroup'>;

function buildTask(task: TaskDocument, resolve: Resolve, place: Place): TaskModel {
  const taskType = textOr(resolve('task_type'), 'BaseOperator');
  const marker = (field: string) => resolve(field) === true;
  const needs = task[NEEDS_FIELD];
  return {
    ...place,
    taskId: task.task_id,
    taskType,
    operatorName: textOr(task._operator_name, taskType),
    displayName: textOr(task._task_display_name, task.task_id),
    runtime: task._task_module === TYPESCRIPT_TASK_MODULE ? 'typescript' : 'python',
    triggerRule: resolve('trigger_rule') as TriggerRule,
    dependsOnPast: marker('depends_on_past') || marker('wait_for_downstream'),
    waitForDownstream: marker('wait_for_downstream'),
    ignoreFirstDependsOnPast: marker('ignore_first_depends_on_past'),
    retries: numberOr(resolve('retries'), 0),
    retry: {
      retryDelaySeconds: numberOr(resolve('retry_delay'), 300),
      multiplier: multiplier(resolve('retry_exponential_backoff')),
      maxRetryDelaySeconds: numberOr(resolve('max_retry_delay'), null),
    },
    executionTimeoutSeconds: positiveOrNull(resolve('execution_timeout')),
    startDateMs: anyInstantMs(resolve('start_date')),
    endDateMs: anyInstantMs(resolve('end_date')),
    maxActiveTisPerDag: positiveOrNull(resolve('max_active_tis_per_dag')),
    maxActiveTisPerDagrun: positiveOrNull(resolve('max_active_tis_per_dagrun')),
    pool: textOr(resolve('pool'), 'default_pool'),
    poolSlots: numberOr(resolve('pool_slots'), 1),
    priorityWeight: numberOr(resolve('priority_weight'), 1),
    weightRule: resolve('weight_rule') as WeightRule,
    queue: textOr(resolve('queue'), 'default'),
    executor: textOr(resolve('executor'), null),
    executorConfig: task.executor_config ?? task.partial_kwargs?.executor_config ?? null,
    owner: textOr(resolve('owner'), 'airflow'),
    completesAtOnce:
      task._is_empty === true &&
      !marker('has_on_execute_callback') &&
      !marker('has_on_success_callback') &&
      !hasItems(resolve('inlets')) &&
      !hasItems(resolve('outlets')),
    startTrigger: readStartTrigger(task, positiveOrNull(resolve('execution_timeout'))),
    isSensor: task._is_sensor === true,
    isSetup: marker('is_setup'),
    isTeardown: marker('is_teardown'),
    onFailureFailDagrun: marker('on_failure_fail_dagrun'),
    canSkipDownstream: task._can_skip_downstream === true,
    expansion: task._is_mapped === true ? readExpansion(task[task._expand_input_attr ?? 'expand_input']) : null,
    needs: typeof needs === 'string' ? needs : null,
    callbacks: { failure: marker('has_on_failure_callback'), retry: marker('has_on_retry_callback') },
    document: task,
  };
}

/** Upstream first; among tasks that could come next, the order of the document's ids, so that it is always the same. */
function topologicalOrder(documents: ReadonlyMap<string, TaskDocument>): string[] {
  const waiting = new Map<string, number>([...documents.keys()].sort().map((id) => [id, 0]));
  const targets = (id: string) => new Set(documents.get(id)?.downstream_task_ids ?? []);
  for (const id of documents.keys()) for (const to of targets(id)) waiting.set(to, (waiting.get(to) ?? 0) + 1);
  const order = [...waiting].filter(([, count]) => count === 0).map(([id]) => id);
  for (let i = 0; i < order.length; i++) {
    for (const to of [...targets(order[i]!)].sort()) {
      const left = waiting.get(to)! - 1;
      waiting.set(to, left);
      if (left === 0) order.push(to);
    }
  }
  return order;
}

/** What limits a timetable's runs: the smallest start date, and the end date, of Dag and tasks. @see semantics 2.1 */
export function restrictionOf(model: DagModel): Restriction {
  const tasks = [...model.tasks.values()];
  const starts = [model.startDateMs, ...tasks.map((task) => task.startDateMs)].filter((ms) => ms !== null);
  const ends = tasks.map((task) => task.endDateMs);
  const allEnd = ends.length > 0 && ends.every((ms) => ms !== null);
  const latest = allEnd ? [...ends, model.endDateMs].filter((ms) => ms !== null) : null;
  return {
    earliestMs: starts.length > 0 ? Math.min(...starts) : null,
    latestMs: latest ? Math.max(...latest) : model.endDateMs,
    catchup: model.catchup,
  };
}

/** All tasks downstream of one, at any distance, without itself. */
export function allDownstream(model: DagModel, taskId: string): Set<string> {
  return reach(model, taskId, (task) => task.downstream);
}

/** All tasks upstream of one, at any distance, without itself. */
export function allUpstream(model: DagModel, taskId: string): Set<string> {
  return reach(model, taskId, (task) => task.upstream);
}

function reach(model: DagModel, from: string, next: (task: TaskModel) => readonly string[]): Set<string> {
  const found = new Set<string>();
  const open = [from];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const task = model.tasks.get(id);
    for (const to of task ? next(task) : []) {
      if (!found.has(to)) {
        found.add(to);
        open.push(to);
      }
    }
  }
  return found;
}

/** True when a mapping of the group tree holds any mapped group; used by readers that draw. */
export function isMappedTask(task: TaskModel): boolean {
  return task.expansion !== null || task.mappedGroup !== null;
}
