/** One task of the interchange format. @see reference "serialized-dag" 5, 7.2 and 13 */
import {
  EXPAND_INPUT_FIELD,
  type TaskDocument,
  TYPESCRIPT_SENSOR_TYPE,
  TYPESCRIPT_TASK_MODULE,
  TYPESCRIPT_TASK_TYPE,
} from '@airlock/contract/dag/document';
import { encodeNeeds, NEEDS_FIELD } from '@airlock/contract/dag/needs-text';
import type { Fanout, ResolvedOptions, TaskVertex } from '../graph.ts';
import type { CallbackNeeds } from '../handles.ts';
import type { Reads } from '../until.ts';
import { cutForDisplay, encodeTagged, encodeTemplate } from './value.ts';

/** Factor by which the wait grows from one retry to the next, where the author gave a range. */
const RETRY_GROWTH = 2;

const seconds = (value: number) => ({ __type: 'timedelta', __var: value });

/** The document of one task. Absent options stay absent: the reader has the same defaults. */
export function serializeTask(dagId: string, task: TaskVertex, downstream: readonly string[]): TaskDocument {
  const sensor = task.body.kind === 'sensor';
  const identity = {
    task_id: task.taskId,
    task_type: sensor ? TYPESCRIPT_SENSOR_TYPE : TYPESCRIPT_TASK_TYPE,
    _task_module: TYPESCRIPT_TASK_MODULE,
    ...given('_task_display_name', task.options.displayName),
    downstream_task_ids: downstream,
    [NEEDS_FIELD]: needsOf(task),
    ...inlets(task),
  };
  const doc = given('doc_md', task.options.docs);
  if (task.fanout) return { ...identity, ...mappedFields(task, task.fanout, doc) } as TaskDocument;
  const hasInput = Object.keys(task.input).length > 0;
  return {
    ...identity,
    ...options(task.options, (value) => value),
    ...markers(task.callbacks),
    ...doc,
    ...sensorFields(task),
    template_fields: hasInput ? ['input'] : [],
    ...(hasInput ? { input: cutForDisplay(encodeTemplate(task.input, dagId)) } : {}),
    has_retry_policy: false,
    _needs_expansion: false,
  } as TaskDocument;
}

function mappedFields(task: TaskVertex, fanout: Fanout, doc: Readonly<Record<string, unknown>>) {
  // The order of these names is the order of the product (last varies fastest), so it is the author's, not sorted.
  const lists = Object.fromEntries(Object.entries(fanout.inputs).map(([name, list]) => [name, encodeTagged(list)]));
  const hasInput = Object.keys(task.input).length > 0;
  return {
    _is_mapped: true,
    _expand_input_attr: EXPAND_INPUT_FIELD,
    _disallow_kwargs_override: false,
    [EXPAND_INPUT_FIELD]: { type: 'dict-of-lists', value: { __type: 'dict', __var: lists } },
    ...given('__airlock_map_limit', fanout.limit ?? undefined),
    template_fields: ['input'],
    partial_kwargs: {
      ...options(task.options, seconds),
      ...markers(task.callbacks),
      ...given('max_active_tis_per_dagrun', fanout.concurrency ?? undefined),
      ...doc,
      ...(hasInput ? { input: encodeTagged(task.input) } : {}),
    },
  };
}

function sensorFields(task: TaskVertex) {
  if (task.body.kind !== 'sensor') return {};
  return { _is_sensor: true, reschedule: true, poke_interval: task.body.every, timeout: task.body.sensorTimeout };
}

/** @param duration how this place writes seconds: raw in a task, tagged among the options of a mapped one. */
function options(given_: ResolvedOptions, duration: (value: number) => unknown) {
  const delay = given_.retryDelay;
  return {
    queue: given_.queue,
    ...given('pool', given_.pool),
    ...given('pool_slots', given_.poolSlots),
    ...given('priority_weight', given_.priority),
    ...given('owner', given_.owner),
    ...given('depends_on_past', given_.dependsOnPast),
    ...given('retries', given_.retries),
    ...(delay ? { retry_delay: duration(delay.first) } : {}),
    ...(delay && delay.max !== null
      ? { retry_exponential_backoff: RETRY_GROWTH, max_retry_delay: duration(delay.max) }
      : {}),
    ...(given_.timeout === undefined ? {} : { execution_timeout: duration(given_.timeout) }),
  };
}

/** That a task has a callback; the function itself stays in its file. */
function markers({ onSuccess, onFailure, onRetry, onSkip }: TaskVertex['callbacks']) {
  return {
    ...(onSuccess ? { has_on_success_callback: true } : {}),
    ...(onFailure ? { has_on_failure_callback: true } : {}),
    ...(onRetry ? { has_on_retry_callback: true } : {}),
    ...(onSkip ? { has_on_skipped_callback: true } : {}),
  };
}

function needsOf(task: TaskVertex): string {
  const { dags, tasks }: Reads = task.body.kind === 'wait' ? task.body.reads : {};
  return needsText(Object.values(task.needs), { xcoms: [...task.takes], dags, tasks });
}

/** Assets that a wait looks at are its inlets: the right to read their events, and none to make any. */
function inlets(task: TaskVertex): Readonly<Record<string, unknown>> {
  const assets = (task.body.kind === 'wait' && task.body.reads.assets) || [];
  return assets.length === 0 ? {} : { inlets: assets.map((name) => ({ __type: 'asset_ref', __var: { name } })) };
}

/** The canonical text of what some handles stand for. */
export function needsText(
  handles: ReadonlyArray<CallbackNeeds[string]>,
  more: Pick<Reads, 'dags' | 'tasks'> & { readonly xcoms?: readonly string[] } = {},
): string {
  return encodeNeeds({
    connections: handles.flatMap((h) => (h.kind === 'connection' ? [h.id] : [])),
    variables: handles.flatMap((h) => (h.kind === 'variable' ? [h.key] : [])),
    xcoms: [...(more.xcoms ?? []), ...handles.flatMap((h) => (h.kind === 'result' ? [h.taskId] : []))],
    assets: [],
    dags: more.dags ?? [],
    tasks: more.tasks ?? [],
  });
}

function given(name: string, value: unknown): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : { [name]: value };
}
