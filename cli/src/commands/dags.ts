import { BUNDLE_ITSELF } from '@airlock/contract/bundles';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';
import { followRun, taskLine } from '../follow-run.ts';
import { paintState, shortInstant, shortSeconds } from '../output.ts';
import { allRows } from '../pages.ts';
import { apiPath, type Dag, type DagRun, type ImportError, type NextRuns, type ObservedNeeds } from '../wire.ts';
import { parseCount, parseJsonObject, parseSeconds } from './options.ts';
import { runFileCommand, withRunFileOptions } from './run-file.ts';

const MOST_DAGS = 100_000;

export function dagsCommand(context: Context): Command {
  const dags = new Command('dags').description('look at Dags, and start runs of them');
  dags
    .command('list')
    .description('all Dags that the server knows')
    .option('--tag <name>', 'only Dags with this tag')
    .option('--active', 'only Dags that are not paused')
    .option('--json', "the server's own answer, as JSON")
    .action(async (options: { tag?: string; active?: boolean; json?: boolean }) => {
      const query = [options.tag ? `tags=${encodeURIComponent(options.tag)}` : '', options.active ? 'paused=false' : '']
        .filter(Boolean)
        .join('&');
      const rows = await allRows<Dag>(context.client(), `/api/v2/dags${query ? `?${query}` : ''}`, 'dags', MOST_DAGS);
      if (options.json) return context.output.json(rows);
      const { paint } = context.output;
      context.output.table(
        ['DAG', 'SCHEDULE', 'STATE', 'NEXT RUN', 'FILE'],
        rows.map((dag) => [
          paint('bold', dag.dag_id),
          dag.timetable_summary ?? '-',
          dag.is_paused ? paint('dim', 'paused') : 'active',
          shortInstant(dag.next_dagrun_run_after),
          dag.relative_fileloc ?? '-',
        ]),
      );
      if (rows.length === 0) context.output.note(`no Dags yet; put a *.ts file into ${context.home}/dags`);
      const broken = await context.client().json<{ total_entries: number }>('GET', '/api/v2/importErrors?limit=1');
      if (broken.total_entries > 0)
        context.output.note(`${broken.total_entries} file(s) or bundle(s) can't be read: airlock dags errors`);
    });

  dags
    .command('needs <dag>')
    .description('the needs that would allow what the tasks of a Dag without needs have used, to review and declare')
    .option('--json', "the server's own answer, as JSON")
    .action(async (dag: string, options: { json?: boolean }) => {
      const path = `${apiPath('dags', dag)}/observedNeeds`;
      const answer = await context.client().json<{ tasks: ObservedNeeds[] }>('GET', path);
      if (options.json) return context.output.json(answer);
      const { paint } = context.output;
      for (const { task_id, needs, beyond } of answer.tasks) {
        context.output.line(paint('bold', task_id));
        for (const [kind, names] of Object.entries(needs))
          if (names.length > 0) context.output.line(`  ${kind}: ${names.join(', ')}`);
        for (const { kind, name, uses } of beyond)
          context.output.line(`  ${paint('red', 'no need allows this')}: ${kind} ${name} (${uses} times)`);
      }
      if (answer.tasks.length === 0) context.output.note('no task of this Dag has used anything without declaring it');
    });

  dags
    .command('errors')
    .description('Dag files and bundles that could not be read, since when, and why')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const rows = await allRows<ImportError>(context.client(), '/api/v2/importErrors', 'import_errors', MOST_DAGS);
      if (options.json) return context.output.json(rows);
      for (const row of rows) {
        const what = row.filename === BUNDLE_ITSELF ? `bundle ${row.bundle_name}` : row.filename;
        context.output.line(
          `${context.output.paint('red', what)}  ${context.output.paint('dim', shortInstant(row.timestamp))}`,
        );
        context.output.line(row.stack_trace.trimEnd().replace(/^/gm, '  '));
      }
      if (rows.length === 0) context.output.note('every Dag file can be read');
    });

  dags
    .command('show <dag>')
    .description('one Dag: its tasks and its latest runs')
    .option('--json', 'as JSON')
    .action(async (id: string, options: { json?: boolean }) => {
      const client = context.client();
      const details = await client.json<Dag>('GET', `${apiPath('dags', id)}/details`);
      const { tasks } = await client.json<{
        tasks: ReadonlyArray<{
          task_id: string;
          operator_name: string | null;
          pool: string;
          downstream_task_ids: readonly string[];
        }>;
      }>('GET', `${apiPath('dags', id)}/tasks`);
      const { dag_runs: runs } = await client.json<{ dag_runs: readonly DagRun[] }>(
        'GET',
        `${apiPath('dags', id, 'dagRuns')}?limit=5&order_by=-run_after`,
      );
      if (options.json) return context.output.json({ dag: details, tasks, latest_runs: runs });
      const { line, table, paint } = context.output;
      line(
        `${paint('bold', details.dag_id)}  ${details.timetable_summary ?? 'no schedule'}  ${details.is_paused ? 'paused' : 'active'}`,
      );
      if (details.description) line(details.description);
      table(
        ['TASK', 'POOL', 'THEN'],
        tasks.map((task) => [task.task_id, task.pool, task.downstream_task_ids.join(', ') || '-']),
      );
      if (runs.length > 0) line('');
      table(
        ['RUN', 'STATE', 'STARTED', 'TOOK'],
        runs.map((run) => [
          run.dag_run_id,
          paintState(paint, run.state),
          shortInstant(run.start_date),
          shortSeconds(run.duration),
        ]),
      );
    });

  dags
    .command('next <dag>')
    .description("the runs that a Dag's schedule will make")
    .option('--count <number>', 'how many, at most 1000', parseCount, 10)
    .option('--json', "the server's own answer, as JSON")
    .action(async (id: string, options: { count: number; json?: boolean }) => {
      const answer = await context
        .client()
        .json<NextRuns>('GET', `${apiPath('dags', id, 'nextRuns')}?count=${options.count}`);
      if (options.json) return context.output.json(answer);
      const covers = ({ data_interval_start: from, data_interval_end: to }: NextRuns['next_runs'][number]) =>
        from === to || from === null ? '-' : `${shortInstant(from)} to ${shortInstant(to)}`;
      context.output.table(
        ['RUN AFTER', 'LOGICAL DATE', 'COVERS'],
        answer.next_runs.map((run) => [
          context.output.paint('bold', shortInstant(run.run_after)),
          run.partition_key ?? shortInstant(run.logical_date),
          covers(run),
        ]),
      );
      if (answer.cause !== null) context.output.note(answer.cause);
      else if (answer.total_entries === 0) context.output.note(`the schedule (${answer.timetable}) makes no run`);
    });

  dags
    .command('trigger <dag>')
    .description('start a run; prints its id')
    .option('--conf <json>', "values for the Dag's params, a JSON object", parseJsonObject)
    .option('--run-id <id>', 'a name for the run; without it the server makes one')
    .option('--logical-date <instant>', 'RFC 3339; without it the run has none')
    .option('--note <text>', 'a note on the run')
    .option('--wait', 'wait for its end; exit status 1 when it failed')
    .option('--timeout <seconds>', 'with --wait: give up waiting after this (status 6)', parseSeconds, 86_400)
    .option('--json', 'the run as JSON; with --wait also its tasks')
    .action(
      async (
        id: string,
        options: {
          conf?: Record<string, unknown>;
          runId?: string;
          logicalDate?: string;
          note?: string;
          wait?: boolean;
          timeout: number;
          json?: boolean;
        },
      ) => {
        const run = await context.client().json<DagRun>('POST', apiPath('dags', id, 'dagRuns'), {
          logical_date: options.logicalDate ?? null,
          conf: options.conf ?? {},
          ...(options.runId ? { dag_run_id: options.runId } : {}),
          ...(options.note ? { note: options.note } : {}),
        });
        if (!options.wait) return options.json ? context.output.json(run) : context.output.line(run.dag_run_id);
        if (!options.json) context.output.line(`run ${context.output.paint('bold', run.dag_run_id)}`);
        await reportEnd(context, run, options);
      },
    );

  // bin/airlock starts it as a process of its own; here it is only named, with the options that it hands to run-file.
  dags.addCommand(
    withRunFileOptions(
      new Command('test')
        .description('run the Dags of one file in a throw-away Airlock, and remove it again')
        .argument('<file>'),
    ).action(() => {
      throw new CliError(EXIT_CODES.usage, 'dags test is a process: start it with cli/bin/airlock dags test');
    }),
  );
  dags.addCommand(runFileCommand(context), { hidden: true });

  for (const [verb, paused] of [
    ['pause', true],
    ['unpause', false],
  ] as const) {
    dags
      .command(`${verb} <dags...>`)
      .description(paused ? 'start no new runs by schedule' : 'let the schedule start runs')
      .action(async (ids: readonly string[]) => {
        for (const id of ids) {
          await context.client().json('PATCH', `${apiPath('dags', id)}?update_mask=is_paused`, { is_paused: paused });
          context.output.line(`${id} ${paused ? 'paused' : 'active'}`);
        }
      });
  }
  return dags;
}

/** Follows a run to its end, shows it, and fails when it failed. */
export async function reportEnd(
  context: Context,
  run: DagRun,
  options: { readonly timeout: number; readonly json?: boolean },
): Promise<void> {
  const { run: ended, tasks } = await followRun(context, run, {
    timeoutMs: options.timeout * 1000,
    onTask: (task) => {
      if (!options.json) context.output.line(taskLine(context, task));
    },
  });
  if (options.json) context.output.json({ ...ended, task_instances: tasks });
  else context.output.line(`${paintState(context.output.paint, ended.state)} in ${shortSeconds(ended.duration)}`);
  if (ended.state !== 'success') {
    const failed = tasks.find((task) => task.state === 'failed');
    const remedy = failed ? `Read its log: airlock tasks logs ${run.dag_id} ${run.dag_run_id} ${failed.task_id}` : null;
    throw new CliError(EXIT_CODES.failed, `run ${run.dag_run_id} failed`, remedy);
  }
}
