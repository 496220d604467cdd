/** What a task waits for instead of starting on a worker. Pure. @see serialized Dag 5.6 */
import type { DagDocument, TaskDocument } from '@airlock/contract/dag/document';
import { sdkFields } from './sdk-values.ts';
import { isObject, isTagged } from './values.ts';

export type StartTrigger = {
  readonly classpath: string;
  /** JSON text, as the document has it. */
  readonly kwargs: string;
  readonly nextMethod: string;
  /** In the form of the Task SDK, to which the event is added. */
  readonly nextKwargs: object;
  /** The shorter of its own time and the task's; null = as long as it takes. */
  readonly timeoutSeconds: number | null;
  /** Some argument is a template of the task: whoever runs the trigger needs the task and its run to render it. */
  readonly templated: boolean;
};

/**
 * Mapped tasks have the arguments of their class: what they are mapped over does not reach the trigger, as in Airflow 3.3.2.
 * @returns null = the task starts on a worker
 */
export function readStartTrigger(task: TaskDocument, executionTimeoutSeconds: number | null): StartTrigger | null {
  const { start_trigger_args: args } = task;
  if (task.start_from_trigger !== true || !args) return null;
  const limits = [args.timeout || null, executionTimeoutSeconds].filter((seconds) => seconds !== null);
  const names = Object.keys(fieldsOf(args.trigger_kwargs));
  return {
    classpath: args.trigger_cls,
    kwargs: JSON.stringify(args.trigger_kwargs ?? {}),
    nextMethod: args.next_method,
    nextKwargs: sdkFields(fieldsOf(args.next_kwargs)),
    timeoutSeconds: limits.length === 0 ? null : Math.min(...limits),
    templated: (task.template_fields ?? []).some((field) => names.includes(field)),
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  const plain = isTagged(value) && value.__type === 'dict' ? value.__var : value;
  return isObject(plain) ? plain : {};
}

/** A document with one task and no edges: all that is needed to render the task's templates. */
export function documentOfOne(document: DagDocument, taskId: string): DagDocument {
  const own = document.dag.tasks.filter(({ __var }) => __var.task_id === taskId);
  const tasks = own.map((task) => ({ ...task, __var: { ...task.__var, downstream_task_ids: [] } }));
  const task_group = {
    _group_id: null,
    group_display_name: '',
    prefix_group_id: true,
    tooltip: '',
    ui_color: 'CornflowerBlue',
    ui_fgcolor: '#000',
    children: { [taskId]: ['operator', taskId] },
    upstream_group_ids: [],
    downstream_group_ids: [],
    upstream_task_ids: [],
    downstream_task_ids: [],
  };
  const { deadline: _, ...dag } = document.dag;
  return { ...document, dag: { ...dag, tasks, task_group, edge_info: {}, dag_dependencies: [] } };
}
