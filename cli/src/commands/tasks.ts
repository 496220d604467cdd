import { Command } from 'commander';
import type { Context } from '../context.ts';
import { taskLabel } from '../follow-run.ts';
import { paintState, shortInstant, shortSeconds } from '../output.ts';
import { allRows } from '../pages.ts';
import { apiPath, type TaskInstance, type Waiting } from '../wire.ts';
import { parseWhole } from './options.ts';

type LogEvent = {
  readonly timestamp?: string | null;
  readonly level?: string;
  readonly event: string;
  readonly logger?: string;
};
type LogAnswer = { readonly content: readonly LogEvent[]; readonly continuation_token: string | null };

const ACTIVE = ['queued', 'running', 'restarting', 'scheduled'];
/** Between two looks of `logs --follow`, ms. */
const FOLLOW_MS = 500;

/** Prints the log of one try from its `from`-th line on. @returns how many lines there are now */
export async function printLog(
  context: Context,
  dag: string,
  run: string,
  task: string,
  which: { readonly number: number; readonly mapIndex: number; readonly from?: number; readonly json?: boolean },
): Promise<number> {
  const path = `${apiPath('dags', dag, 'dagRuns', run, 'taskInstances', task)}/logs/${which.number}`;
  const { content } = await context
    .client()
    .json<LogAnswer>('GET', `${path}?map_index=${which.mapIndex}&full_content=true`);
  const from = which.from ?? 0;
  for (const event of content.slice(from)) {
    context.output.line(which.json ? JSON.stringify(event) : logLine(context, event));
  }
  return Math.max(from, content.length);
}

export function tasksTable(context: Context, tasks: readonly TaskInstance[]): void {
  context.output.table(
    ['TASK', 'STATE', 'TRY', 'STARTED', 'TOOK', 'POOL'],
    tasks.map((task) => [
      taskLabel(task),
      paintState(context.output.paint, task.state),
      String(task.try_number),
      shortInstant(task.start_date),
      shortSeconds(task.duration),
      task.pool,
    ]),
  );
}

export function tasksCommand(context: Context): Command {
  const tasks = new Command('tasks').description('look at task instances, their logs and their results');
  tasks
    .command('list <dag> <run>')
    .description('task instances of a run')
    .option('--json', 'as JSON')
    .action(async (dag: string, run: string, options: { json?: boolean }) => {
      const rows = await allRows<TaskInstance>(
        context.client(),
        apiPath('dags', dag, 'dagRuns', run, 'taskInstances'),
        'task_instances',
        10_000,
      );
      if (options.json) return context.output.json(rows);
      tasksTable(context, rows);
    });
  tasks
    .command('why <dag> <run> [task]')
    .description('why task instances of a run do not go on: one cause for each that waits')
    .option('--json', 'as JSON')
    .action(async (dag: string, run: string, task: string | undefined, options: { json?: boolean }) => {
      const filter = task === undefined ? '' : `?task_id=${encodeURIComponent(task)}`;
      const path = `${apiPath('dags', dag, 'dagRuns', run, 'waiting')}${filter}`;
      const rows = await allRows<Waiting>(context.client(), path, 'waiting', 10_000);
      if (options.json) return context.output.json(rows);
      context.output.table(
        ['TASK', 'STATE', 'CAUSE', 'UNTIL', ''],
        rows.map((row) => [
          taskLabel(row),
          paintState(context.output.paint, row.state),
          context.output.paint('bold', row.cause),
          shortInstant(row.until),
          row.text,
        ]),
      );
      if (rows.length === 0) context.output.note('nothing waits');
    });
  tasks
    .command('logs <dag> <run> <task>')
    .description('the log of one try')
    .option('--try <n>', 'which try; without it the latest', parseWhole)
    .option('--map-index <n>', 'of a mapped task', parseWhole, -1)
    .option('--follow', 'go on until the try has ended')
    .option('--json', 'one JSON object per line')
    .action(
      async (
        dag: string,
        run: string,
        task: string,
        options: { try?: number; mapIndex: number; follow?: boolean; json?: boolean },
      ) => {
        const instance = apiPath('dags', dag, 'dagRuns', run, 'taskInstances', task);
        const look = () =>
          context
            .client()
            .json<TaskInstance>('GET', options.mapIndex >= 0 ? `${instance}/${options.mapIndex}` : instance);
        const number = options.try ?? (await look()).try_number;
        const which = { number, mapIndex: options.mapIndex, json: options.json };
        let printed = 0;
        for (;;) {
          // The state is read before the log: a try that had ended then has its whole log in the answer that follows.
          const now = options.follow ? await look() : null;
          printed = await printLog(context, dag, run, task, { ...which, from: printed });
          const active = now !== null && now.try_number === number && ACTIVE.includes(now.state ?? 'scheduled');
          if (!active) return;
          await context.pause(FOLLOW_MS);
        }
      },
    );
  tasks
    .command('xcom <dag> <run> <task>')
    .description('a value that a task instance stored; without --key the list of its keys')
    .option('--key <key>', 'such as return_value')
    .option('--map-index <n>', 'of a mapped task', parseWhole, -1)
    .action(async (dag: string, run: string, task: string, options: { key?: string; mapIndex: number }) => {
      const path = `${apiPath('dags', dag, 'dagRuns', run, 'taskInstances', task)}/xcomEntries`;
      if (options.key === undefined) {
        const { xcom_entries: entries } = await context
          .client()
          .json<{ xcom_entries: ReadonlyArray<{ key: string; map_index: number; timestamp: string }> }>(
            'GET',
            `${path}?limit=100`,
          );
        return context.output.table(
          ['KEY', 'MAP INDEX', 'STORED'],
          entries.map((entry) => [entry.key, String(entry.map_index), shortInstant(entry.timestamp)]),
        );
      }
      const { value } = await context
        .client()
        .json<{ value: unknown }>(
          'GET',
          `${path}/${encodeURIComponent(options.key)}?map_index=${options.mapIndex}&deserialize=true`,
        );
      context.output.json(value);
    });
  return tasks;
}

function logLine(context: Context, event: LogEvent): string {
  const { paint } = context.output;
  if (!event.timestamp) return paint('dim', event.event);
  const level = (event.level ?? 'info').toLowerCase();
  const painted = ['error', 'critical'].includes(level)
    ? paint('red', level)
    : level === 'warning'
      ? paint('yellow', level)
      : paint('dim', level);
  return `${paint('dim', shortInstant(event.timestamp).slice(11))} ${painted} ${event.event}${event.logger && event.logger !== 'task' ? paint('dim', `  ${event.logger}`) : ''}`;
}
