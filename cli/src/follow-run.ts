/** Waits for the end of a dag run, and shows on the way which tasks ended and how. */
import type { Context } from './context.ts';
import { CliError, EXIT_CODES } from './exit-codes.ts';
import { paintState, shortSeconds } from './output.ts';
import { allRows } from './pages.ts';
import { apiPath, type DagRun, type TaskInstance } from './wire.ts';

/** First pause between two looks, ms; grows to the second. Short runs are seen at once, long ones cost little. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;
/** More task instances than this are counted, not listed. */
const MOST_TASKS = 2000;
const ENDED = ['success', 'failed', 'skipped', 'upstream_failed', 'removed'];

export type Followed = { readonly run: DagRun; readonly tasks: readonly TaskInstance[] };

/**
 * @param onTask called once for each task instance that has ended, in the order of their ends.
 * @throws CliError timedOut when the run is still going after `timeoutMs`
 */
export async function followRun(
  context: Context,
  run: Pick<DagRun, 'dag_id' | 'dag_run_id'>,
  options: { readonly timeoutMs: number; readonly onTask: (task: TaskInstance) => void },
): Promise<Followed> {
  const client = context.client();
  const path = apiPath('dags', run.dag_id, 'dagRuns', run.dag_run_id);
  const spinner = context.output.spinner();
  const deadlineMs = context.nowMs() + options.timeoutMs;
  const shown = new Set<string>();
  try {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
      const now = await client.json<DagRun>('GET', path);
      const tasks = await allRows<TaskInstance>(client, `${path}/taskInstances`, 'task_instances', MOST_TASKS);
      const ended = tasks.filter((task) => task.state !== null && ENDED.includes(task.state));
      ended.sort((a, b) => (a.end_date ?? '').localeCompare(b.end_date ?? ''));
      for (const task of ended) {
        const key = `${task.task_id} ${task.map_index}`;
        if (shown.has(key)) continue;
        shown.add(key);
        spinner.stop();
        options.onTask(task);
      }
      if (now.state === 'success' || now.state === 'failed') return { run: now, tasks };
      const running = tasks.filter((task) => task.state === 'running').map((task) => taskLabel(task));
      spinner.show(
        `${now.state}: ${ended.length}/${tasks.length} tasks${running.length > 0 ? `, running ${running.join(', ')}` : ''}`,
      );
      if (context.nowMs() >= deadlineMs) {
        throw new CliError(
          EXIT_CODES.timedOut,
          `run ${run.dag_run_id} is still ${now.state}`,
          'It goes on; look at it with: airlock runs show.',
        );
      }
      await context.pause(Math.min(pauseMs, Math.max(0, deadlineMs - context.nowMs())));
    }
  } finally {
    spinner.stop();
  }
}

/** `load[3]` for a mapped task instance. */
export function taskLabel(task: Pick<TaskInstance, 'task_id' | 'map_index'>): string {
  return task.map_index >= 0 ? `${task.task_id}[${task.map_index}]` : task.task_id;
}

/** One line for an ended task instance. */
export function taskLine(context: Context, task: TaskInstance): string {
  const tries = task.try_number > 1 ? context.output.paint('yellow', `  try ${task.try_number}`) : '';
  return `  ${paintState(context.output.paint, task.state)}  ${taskLabel(task)}  ${context.output.paint('dim', shortSeconds(task.duration))}${tries}`;
}
