import { Command } from 'commander';
import type { Context } from '../context.ts';
import { paintState, shortInstant, shortSeconds } from '../output.ts';
import { allRows } from '../pages.ts';
import { apiPath, type DagRun, type TaskInstance } from '../wire.ts';
import { reportEnd } from './dags.ts';
import { parseCount, parseSeconds } from './options.ts';
import { tasksTable } from './tasks.ts';

export function runsCommand(context: Context): Command {
  const runs = new Command('runs').description('look at dag runs');
  runs
    .command('list <dag>')
    .description('runs of a Dag, newest first')
    .option('--state <state>', 'queued, running, success or failed')
    .option('--limit <n>', 'rows', parseCount, 25)
    .option('--json', 'as JSON')
    .action(async (dag: string, options: { state?: string; limit: number; json?: boolean }) => {
      const query = `order_by=-run_after${options.state ? `&state=${encodeURIComponent(options.state)}` : ''}`;
      const rows = await allRows<DagRun>(
        context.client(),
        `${apiPath('dags', dag, 'dagRuns')}?${query}`,
        'dag_runs',
        options.limit,
      );
      if (options.json) return context.output.json(rows);
      context.output.table(
        ['RUN', 'STATE', 'TYPE', 'STARTED', 'TOOK'],
        rows.map((run) => [
          run.dag_run_id,
          paintState(context.output.paint, run.state),
          run.run_type,
          shortInstant(run.start_date),
          shortSeconds(run.duration),
        ]),
      );
      if (rows.length === 0) context.output.note('no runs yet');
    });
  runs
    .command('show <dag> <run>')
    .description('one run with the states of its tasks')
    .option('--json', 'as JSON')
    .action(async (dag: string, run: string, options: { json?: boolean }) => {
      const path = apiPath('dags', dag, 'dagRuns', run);
      const found = await context.client().json<DagRun>('GET', path);
      const tasks = await allRows<TaskInstance>(context.client(), `${path}/taskInstances`, 'task_instances', 10_000);
      if (options.json) return context.output.json({ ...found, task_instances: tasks });
      context.output.line(
        `${found.dag_run_id}  ${paintState(context.output.paint, found.state)}  ${shortInstant(found.start_date)}  ${shortSeconds(found.duration)}`,
      );
      tasksTable(context, tasks);
    });
  runs
    .command('wait <dag> <run>')
    .description('wait for the end of a run; exit status 1 when it failed')
    .option('--timeout <seconds>', 'give up waiting after this (status 6)', parseSeconds, 86_400)
    .option('--json', 'the run and its tasks as JSON')
    .action(async (dag: string, run: string, options: { timeout: number; json?: boolean }) => {
      const found = await context.client().json<DagRun>('GET', apiPath('dags', dag, 'dagRuns', run));
      await reportEnd(context, found, options);
    });
  return runs;
}
