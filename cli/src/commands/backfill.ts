import { Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { paintState, shortInstant } from '../output.ts';
import { allRows } from '../pages.ts';
import { apiPath, type Backfill } from '../wire.ts';
import { parseCount, parseJsonObject } from './options.ts';

const MOST = 10_000;

type CreateOptions = {
  from: string;
  to: string;
  conf?: Record<string, unknown>;
  reprocess: string;
  maxActiveRuns: number;
  backwards?: boolean;
  dryRun?: boolean;
  json?: boolean;
};

export function backfillCommand(context: Context): Command {
  const backfill = new Command('backfill').description("make the runs of a Dag's past");

  backfill
    .command('create <dag>')
    .description('make every run of the schedule between two instants, and show it')
    .requiredOption('--from <instant>', 'RFC 3339, such as 2026-01-01T00:00:00Z; included')
    .requiredOption('--to <instant>', 'included')
    .option('--conf <json>', "values for the Dag's params, a JSON object", parseJsonObject)
    .addOption(
      new Option('--reprocess <which>', 'runs that exist already and are made again')
        .choices(['none', 'failed', 'completed'])
        .default('none'),
    )
    .option('--max-active-runs <number>', 'how many run at once', parseCount, 10)
    .option('--backwards', 'newest first')
    .option('--dry-run', 'only say which runs it would make')
    .option('--json', "the server's own answer, as JSON")
    .action(async (dag: string, options: CreateOptions) => {
      const body = {
        dag_id: dag,
        from_date: options.from,
        to_date: options.to,
        dag_run_conf: options.conf ?? null,
        reprocess_behavior: options.reprocess,
        max_active_runs: options.maxActiveRuns,
        run_backwards: options.backwards === true,
      };
      if (!options.dryRun) {
        const made = await context.client().json<Backfill>('POST', apiPath('backfills'), body);
        return options.json ? context.output.json(made) : show([made]);
      }
      const plan = await context
        .client()
        .json<{ backfills: ReadonlyArray<{ logical_date: string }> }>('POST', apiPath('backfills', 'dry_run'), body);
      if (options.json) return context.output.json(plan);
      for (const point of plan.backfills) context.output.line(shortInstant(point.logical_date));
      if (plan.backfills.length === 0) context.output.note('there is nothing to make');
    });

  backfill
    .command('list <dag>')
    .description('the backfills of a Dag')
    .option('--json', 'as JSON')
    .action(async (dag: string, options: { json?: boolean }) => {
      const path = `${apiPath('backfills')}?dag_id=${encodeURIComponent(dag)}`;
      const rows = await allRows<Backfill>(context.client(), path, 'backfills', MOST);
      if (options.json) return context.output.json(rows);
      show(rows);
      if (rows.length === 0) context.output.note('none yet');
    });

  for (const [verb, what] of [
    ['pause', 'start no further run of it; what runs goes on'],
    ['unpause', 'go on with it'],
    ['cancel', 'end it: what waits fails, what runs goes on'],
  ] as const) {
    backfill
      .command(`${verb} <id>`)
      .description(what)
      .option('--json', 'as JSON')
      .action(async (id: string, options: { json?: boolean }) => {
        const row = await context.client().json<Backfill>('PUT', apiPath('backfills', id, verb));
        return options.json ? context.output.json(row) : show([row]);
      });
  }

  function show(rows: readonly Backfill[]): void {
    context.output.table(
      ['ID', 'DAG', 'FROM', 'TO', 'STATE'],
      rows.map((row) => [
        String(row.id),
        context.output.paint('bold', row.dag_id),
        shortInstant(row.from_date),
        shortInstant(row.to_date),
        row.completed_at
          ? paintState(context.output.paint, 'complete')
          : paintState(context.output.paint, row.is_paused ? 'paused' : 'running'),
      ]),
    );
  }
  return backfill;
}
