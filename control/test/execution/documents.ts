/** The Dag that tests sow: extract → load → report, and `side`, which comes after nothing. */
import type { DagDocument } from '@airlock/contract/dag/document';

/** Fields of tasks by their ids, and what starts the Dag. */
export type DagOver = {
  readonly tasks?: Readonly<Record<string, object>>;
  readonly timetable?: object;
  readonly taskGroup?: object;
};

const DOWNSTREAM = { extract: ['load'], load: ['report'], report: [], side: [] } as const;

export function documentOf(
  dagId: string,
  { tasks = {}, timetable, taskGroup = { _group_id: null, children: {} } }: DagOver,
): DagDocument {
  return {
    __version: 3,
    dag: {
      dag_id: dagId,
      fileloc: '/dags/a.ts',
      relative_fileloc: 'a.ts',
      timezone: 'UTC',
      timetable: (timetable as undefined) ?? { __type: 'airflow.timetables.simple.NullTimetable', __var: {} },
      tasks: Object.entries(DOWNSTREAM).map(([task_id, downstream_task_ids]) => ({
        __type: 'operator' as const,
        __var: {
          task_id,
          task_type: 'TypeScriptOperator',
          _task_module: 'airlock.sdk',
          downstream_task_ids,
          ...tasks[task_id],
        },
      })),
      dag_dependencies: [],
      task_group: taskGroup as never,
    },
  };
}
