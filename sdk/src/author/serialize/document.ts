/**
 * The interchange document of one Dag. Canonical: the same source gives the same bytes, on every parse and machine; the
 * order of keys and lists is fixed here.
 * @see reference "serialized-dag" 4, 7.1 and 13
 */
import { CALLBACK_NEEDS_ARG, type DagDocument } from '@airlock/contract/dag/document';
import type { DagCallbacks } from '../callbacks.ts';
import type { Dag } from '../dag.ts';
import { DagError } from '../dag-error.ts';
import { downstreamOf, type Graph, type GroupVertex } from '../graph.ts';
import type { Param } from '../params.ts';
import { needsText, serializeTask } from './task.ts';
import { encodeTagged } from './value.ts';

export const DOCUMENT_VERSION = 3;

export type SourceLocation = {
  /** Absolute, as the machine that parses names it. */
  readonly fileloc: string;
  /** Inside the bundle, with `/`. */
  readonly relativeFileloc: string;
  /** Of the configuration; absent = false. */
  readonly disableBundleVersioning?: boolean;
};

/** Builds the Dag and writes its document. @throws DagError, and whatever the builder throws */
export function serializeDag(dag: Dag, source: SourceLocation): DagDocument {
  const graph = dag.graph();
  const down = downstreamOf(graph.tasks);
  const s = dag.settings;
  return {
    __version: DOCUMENT_VERSION,
    dag: {
      dag_id: dag.dagId,
      fileloc: source.fileloc,
      relative_fileloc: source.relativeFileloc,
      timezone: s.timezone,
      timetable: s.timetable,
      catchup: s.catchup,
      max_active_runs: s.maxActiveRuns,
      max_active_tasks: s.maxActiveTasks,
      max_consecutive_failed_dag_runs: 0,
      disable_bundle_versioning: source.disableBundleVersioning ?? false,
      ...given('start_date', s.startDate),
      ...given('end_date', s.endDate),
      ...given('dagrun_timeout', s.runTimeout),
      ...given('description', s.description),
      ...given('doc_md', s.docs),
      ...given('dag_display_name', s.displayName),
      ...given('is_paused_upon_creation', s.paused),
      ...given('fail_fast', s.failFast || undefined),
      ...given('tags', s.tags.length > 0 ? s.tags : undefined),
      edge_info: {},
      dag_dependencies: [],
      params: dag.params.map((param) => [param.name, serializeParam(param)] as const),
      deadline: serializeDeadlines(s.callbacks),
      ...given('has_on_success_callback', s.callbacks.success ? true : undefined),
      ...given('has_on_failure_callback', s.callbacks.failure ? true : undefined),
      ...given('default_args', callbackNeeds(s.callbacks, graph, `Dag ${dag.dagId}`)),
      allowed_run_types: null,
      _processor_dags_folder: null,
      task_group: serializeGroup(graph.root),
      tasks: [...graph.tasks.values()].map((task) => ({
        __type: 'operator' as const,
        __var: serializeTask(dag.dagId, task, down.get(task.taskId)!),
      })),
    },
  };
}

const encoded = (classname: string, version: number, data: unknown) => ({
  __classname__: classname,
  __version__: version,
  __data__: data,
});

/** The callback of a deadline is named by its place: it is no path that another reader could import. */
function serializeDeadlines({ deadlines }: DagCallbacks): unknown {
  if (deadlines.length === 0) return null;
  return deadlines.map(({ name, reference, interval }, position) => ({
    name,
    reference,
    interval: encoded('datetime.timedelta', 2, interval),
    callback: encoded('airflow.sdk.definitions.callback.SyncCallback', 0, {
      path: `airlock.deadlines.${position}`,
      kwargs: {},
      executor: null,
    }),
  }));
}

/** What the Dag's own callbacks may read; one text for all of them. @throws DagError when it names no task of the Dag */
function callbackNeeds({ success, failure, deadlines }: DagCallbacks, graph: Graph, where: string): unknown {
  const all = [success, failure, ...deadlines.map((deadline) => deadline.callback)].filter((one) => one !== null);
  if (all.length === 0) return undefined;
  const handles = all.flatMap((one) => Object.values(one.needs));
  for (const handle of handles) {
    if (handle.kind === 'result' && !graph.tasks.has(handle.taskId)) {
      const why = `${where}: a callback needs the result of ${handle.taskId}, which is no task of it.`;
      throw new DagError(why, 'Give the id of a task, with the ids of its groups before it.');
    }
  }
  const text = needsText(handles);
  return { __type: 'dict', __var: { [CALLBACK_NEEDS_ARG]: text } };
}

function serializeParam(param: Param) {
  return {
    __class: 'airflow.sdk.definitions.param.Param',
    default: param.hasDefault ? encodeTagged(param.default) : { __type: 'arg_not_set', __var: null },
    description: param.description,
    schema: encodeTagged(param.schema),
    source: 'dag',
  };
}

function serializeGroup(group: GroupVertex): Readonly<Record<string, unknown>> {
  const children = group.children.map((child) =>
    'task' in child
      ? [child.task, ['operator', child.task]]
      : [child.group.groupId, ['taskgroup', serializeGroup(child.group)]],
  );
  return {
    _group_id: group.groupId,
    group_display_name: group.displayName ?? '',
    prefix_group_id: true,
    tooltip: '',
    ui_color: 'CornflowerBlue',
    ui_fgcolor: '#000',
    ...given('doc_md', group.docs),
    children: Object.fromEntries(children),
    upstream_group_ids: [],
    downstream_group_ids: [],
    upstream_task_ids: [],
    downstream_task_ids: [],
  };
}

function given(name: string, value: unknown): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : { [name]: value };
}
