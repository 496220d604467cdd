/** The second half of `airlock dags test`: inside the throw-away Airlock, runs the Dags of one file and shows what went wrong. */
import { Command, InvalidArgumentError } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';
import { followRun, taskLabel, taskLine } from '../follow-run.ts';
import { paintState, shortSeconds } from '../output.ts';
import { allRows } from '../pages.ts';
import { apiPath, type Dag, type DagRun, type ImportError, type TaskInstance } from '../wire.ts';
import { parseJsonObject, parseSeconds } from './options.ts';
import { printLog } from './tasks.ts';

/** How long the file may take to be read, ms; above the limit that the throw-away Airlock has for it. */
const PARSE_MS = 30_000;
const LOOK_MS = 50;

export type RunFileOptions = {
  readonly dag?: string;
  readonly conf?: Record<string, unknown>;
  readonly variable: Readonly<Record<string, string>>;
  readonly connection: Readonly<Record<string, Record<string, unknown>>>;
  readonly timeout: number;
  readonly json?: boolean;
};

function parsePair(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('must look like name=value');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** Adds the options that `dags test` and `dags run-file` share. */
export function withRunFileOptions(command: Command): Command {
  return command
    .option('--dag <id>', 'only this Dag of the file')
    .option('--conf <json>', "values for the Dag's params, a JSON object", parseJsonObject)
    .option(
      '--variable <key=value>',
      'a variable for the run; may be repeated',
      (text: string, all: Record<string, string>) => ({ ...all, ...Object.fromEntries([parsePair(text)]) }),
      {},
    )
    .option(
      '--connection <id=json>',
      'a connection for the run, such as out={"conn_type":"fs","extra":"{\\"path\\":\\"/tmp\\"}"}; may be repeated',
      (text: string, all: Record<string, Record<string, unknown>>) => {
        const [id, json] = parsePair(text);
        return { ...all, [id]: parseJsonObject(json) };
      },
      {},
    )
    .option('--timeout <seconds>', 'give up after this', parseSeconds, 600)
    .option('--json', 'the runs and their tasks as JSON');
}

export function runFileCommand(context: Context): Command {
  return withRunFileOptions(new Command('run-file').argument('<file>')).action(
    async (file: string, options: RunFileOptions) => {
      const client = context.client();
      for (const [key, value] of Object.entries(options.variable))
        await client.json('POST', '/api/v2/variables', { key, value });
      for (const [id, fields] of Object.entries(options.connection))
        await client.json('POST', '/api/v2/connections', { connection_id: id, ...fields });
      const dags = (await waitForDags(context, file)).filter((dag) => dag.dag_id === (options.dag ?? dag.dag_id));
      if (dags.length === 0) throw new CliError(EXIT_CODES.notFound, `${file} holds no Dag ${options.dag ?? 'at all'}`);
      const results: object[] = [];
      let failed = 0;
      for (const dag of dags) {
        // A Dag that starts paused is tried all the same: whoever tries a file wants to see it run.
        await client.json('PATCH', `${apiPath('dags', dag.dag_id)}?update_mask=is_paused`, { is_paused: false });
        const run = await client.json<DagRun>('POST', apiPath('dags', dag.dag_id, 'dagRuns'), {
          logical_date: null,
          conf: options.conf ?? {},
        });
        if (!options.json) context.output.line(context.output.paint('bold', dag.dag_id));
        const onTask = (task: TaskInstance) => {
          if (!options.json) context.output.line(taskLine(context, task));
        };
        const followed = await followRun(context, run, { timeoutMs: options.timeout * 1000, onTask });
        results.push({ ...followed.run, task_instances: followed.tasks });
        if (!options.json)
          context.output.line(
            `${paintState(context.output.paint, followed.run.state)} in ${shortSeconds(followed.run.duration)}`,
          );
        if (followed.run.state === 'success') continue;
        failed++;
        if (!options.json) await showFailures(context, run, followed.tasks);
      }
      if (options.json) context.output.json(results);
      if (failed > 0) throw new CliError(EXIT_CODES.failed, `${failed} of ${dags.length} runs failed`);
    },
  );
}

/** @throws CliError with the message of the parser when the file can't be read */
async function waitForDags(context: Context, file: string): Promise<readonly Dag[]> {
  const client = context.client();
  const spinner = context.output.spinner();
  const deadlineMs = context.nowMs() + PARSE_MS;
  try {
    for (;;) {
      const errors = await allRows<ImportError>(client, '/api/v2/importErrors', 'import_errors', 1000);
      const error = errors.find((each) => each.filename === file);
      if (error) throw new CliError(EXIT_CODES.failed, `${file} can't be read:\n${error.stack_trace.trimEnd()}`);
      const dags = (await allRows<Dag>(client, '/api/v2/dags', 'dags', 1000)).filter(
        (dag) => dag.relative_fileloc === file,
      );
      if (dags.length > 0) return dags;
      if (context.nowMs() >= deadlineMs)
        throw new CliError(
          EXIT_CODES.failed,
          `${file} holds no Dag`,
          'Export what dag(…) returns, as the default or by name.',
        );
      spinner.show(`reading ${file}`);
      await context.pause(LOOK_MS);
    }
  } finally {
    spinner.stop();
  }
}

async function showFailures(context: Context, run: DagRun, tasks: readonly TaskInstance[]): Promise<void> {
  for (const task of tasks.filter((each) => each.state === 'failed')) {
    context.output.line(context.output.paint('dim', `── log of ${taskLabel(task)}, try ${task.try_number}`));
    await printLog(context, run.dag_id, run.dag_run_id, task.task_id, {
      number: task.try_number,
      mapIndex: task.map_index,
    });
  }
}
