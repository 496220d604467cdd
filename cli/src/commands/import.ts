/** Moves variables, connections and pools from an Airflow. Everything may be tried before, and done again. */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Client, createClient, targetOf } from '../client.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';
import { type Entity, itemsOf, KINDS, type Kind, NAME_OF, type Problem, readExport } from '../import/airflow.ts';
import { readFernetKey } from '../import/fernet.ts';

const ON_EXISTING = ['skip', 'overwrite', 'fail'] as const;
type OnExisting = (typeof ON_EXISTING)[number];
type Options = { readonly [K in Kind]?: string } & {
  readonly from?: string;
  readonly fernetKeyFile?: string;
  readonly onExisting: OnExisting;
  readonly dryRun?: boolean;
  readonly json?: boolean;
};
type Report = {
  readonly kind: Kind;
  readonly created: string[];
  readonly overwritten: string[];
  readonly skipped: string[];
  readonly problems: Problem[];
};
type Items = ReadonlyArray<readonly [string, unknown]>;

/** Entities in one request, which is one transaction. */
const CHUNK = 100;
const PAGE = 100;
/** A pool that always exists and keeps its name and description. */
const DEFAULT_POOL = 'default_pool';

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new CliError(EXIT_CODES.usage, `${path} can not be read as JSON: ${(cause as Error).message}`, null, {
      cause,
    });
  }
}

function readKeys(path: string | undefined): Buffer[] {
  if (path === undefined) return [];
  return readFileSync(path, 'utf8')
    .trim()
    .split(',')
    .map((text) => {
      const key = readFernetKey(text);
      if (key === null) throw new CliError(EXIT_CODES.usage, `${path} holds no Fernet key`);
      return key;
    });
}

/** All of a list, page by page. */
async function allOf(client: Client, kind: Kind): Promise<Array<Record<string, unknown>>> {
  const all: Array<Record<string, unknown>> = [];
  for (;;) {
    const path = `/api/v2/${kind}?limit=${PAGE}&offset=${all.length}&order_by=id`;
    const page = await client.json<Record<Kind, Array<Record<string, unknown>>>>('GET', path);
    all.push(...page[kind]);
    if (page[kind].length === 0) return all;
  }
}

async function source(context: Context, options: Options, kind: Kind): Promise<Items | null> {
  const file = options[kind];
  if (file !== undefined) {
    const items = itemsOf(kind, readJson(file));
    if (items === null) throw new CliError(EXIT_CODES.usage, `${file} is no export of ${kind}`);
    return items;
  }
  if (options.from === undefined) return null;
  const airflow = createClient(targetOf(options.from, context.env.AIRFLOW_TOKEN ?? null, ''));
  return itemsOf(kind, await allOf(airflow, kind));
}

type BulkAnswer = { create: { success: string[]; errors: Array<{ error: string }> } };

/** Sends some; what is refused as a whole is sent one by one, so that one bad thing does not hold up the others. */
async function send(
  client: Client,
  kind: Kind,
  entities: readonly Entity[],
  onExisting: OnExisting,
  onProblem: (problem: Problem) => void,
): Promise<string[]> {
  const actions = [{ action: 'create', entities, action_on_existence: onExisting }];
  try {
    const { create } = await client.json<BulkAnswer>('PATCH', `/api/v2/${kind}`, { actions });
    if (create.errors.length === 0) return create.success;
    if (entities.length === 1) {
      onProblem({ name: nameOf(kind, entities[0]!), what: 'left', reason: create.errors[0]!.error });
      return create.success;
    }
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== EXIT_CODES.failed) throw error;
    if (entities.length === 1) {
      onProblem({ name: nameOf(kind, entities[0]!), what: 'left', reason: error.message });
      return [];
    }
  }
  const done: string[] = [];
  for (const entity of entities) done.push(...(await send(client, kind, [entity], onExisting, onProblem)));
  return done;
}

const nameOf = (kind: Kind, entity: Entity): string => entity[NAME_OF[kind]] as string;

async function importKind(context: Context, options: Options, kind: Kind, items: Items): Promise<Report> {
  const client = context.client();
  const { entities, problems } = readExport(kind, items, readKeys(options.fernetKeyFile));
  const report: Report = { kind, created: [], overwritten: [], skipped: [], problems: [...problems] };
  const there = new Set((await allOf(client, kind)).map((each) => nameOf(kind, each)));
  // That pool is there from the first day, so it says nothing about an earlier import.
  const taken = entities.map((each) => nameOf(kind, each)).filter((name) => there.has(name) && name !== DEFAULT_POOL);
  if (options.onExisting === 'fail' && taken.length > 0) {
    throw new CliError(
      EXIT_CODES.failed,
      `${taken.length} ${kind} exist already: ${taken.slice(0, 10).join(', ')}${taken.length > 10 ? ', …' : ''}`,
      'Nothing was imported of them. Choose --on-existing skip or overwrite.',
    );
  }
  const wanted: Entity[] = [];
  for (const entity of entities) {
    const name = nameOf(kind, entity);
    if (!there.has(name)) wanted.push(entity);
    else if (options.onExisting !== 'overwrite') report.skipped.push(name);
    else if (kind === 'pools' && name === DEFAULT_POOL) {
      const mask = 'update_mask=slots&update_mask=include_deferred';
      const { slots, include_deferred } = entity;
      if (!options.dryRun) await client.json('PATCH', `/api/v2/pools/${name}?${mask}`, { slots, include_deferred });
      report.overwritten.push(name);
    } else wanted.push(entity);
  }
  const spinner = context.output.spinner();
  try {
    for (let at = 0; at < wanted.length; at += CHUNK) {
      spinner.show(`${kind}: ${at} of ${wanted.length}`);
      const chunk = wanted.slice(at, at + CHUNK);
      const done = options.dryRun
        ? chunk.map((each) => nameOf(kind, each))
        : await send(client, kind, chunk, options.onExisting, (problem) => report.problems.push(problem));
      for (const name of done) (there.has(name) ? report.overwritten : report.created).push(name);
    }
  } finally {
    spinner.stop();
  }
  return report;
}

function show(context: Context, reports: readonly Report[], dryRun: boolean): void {
  const { output } = context;
  output.table(
    ['', dryRun ? 'WOULD CREATE' : 'CREATED', dryRun ? 'WOULD OVERWRITE' : 'OVERWRITTEN', 'SKIPPED', 'PROBLEMS'],
    reports.map(({ kind, created, overwritten, skipped, problems }) => [
      kind,
      ...[created, overwritten, skipped, problems].map((list) => String(list.length)),
    ]),
  );
  for (const { kind, problems } of reports) {
    for (const { name, what, reason } of problems) {
      const left = what === 'left' ? 'not imported' : 'imported without';
      output.note(`${kind} ${name}: ${left}: ${reason}`);
    }
  }
}

function parseUrl(text: string): string {
  if (!URL.canParse(text)) throw new InvalidArgumentError('is no URL');
  return text;
}

export function importCommand(context: Context): Command {
  const command = new Command('import').description('take over what another orchestrator holds');
  command
    .command('airflow')
    .description(
      'import variables, connections and pools from exports of Airflow 3, or from its REST API (which masks secrets)',
    )
    .option('--variables <file>', 'what `airflow variables export` wrote')
    .option('--connections <file>', 'what `airflow connections export` wrote, as JSON')
    .option('--pools <file>', 'what `airflow pools export` or `airflowctl pools export` wrote')
    .option('--from <url>', 'a running Airflow, for what no file is given; with a token in AIRFLOW_TOKEN', parseUrl)
    .option('--fernet-key-file <file>', 'Fernet keys of that Airflow, for values taken from its tables')
    .addOption(
      new Option('--on-existing <what>', 'what to do with names that are taken').choices(ON_EXISTING).default('skip'),
    )
    .option('--dry-run', 'say what would be done, and change nothing')
    .option('--json', 'the report as JSON')
    .action(async (options: Options) => {
      const reports: Report[] = [];
      for (const kind of KINDS) {
        const items = await source(context, options, kind);
        if (items !== null) reports.push(await importKind(context, options, kind, items));
      }
      if (reports.length === 0) {
        const remedy = 'Give --variables, --connections, --pools or --from.';
        throw new CliError(EXIT_CODES.usage, 'there is nothing to import', remedy);
      }
      if (options.json) context.output.json(reports);
      else show(context, reports, options.dryRun === true);
      if (reports.some(({ problems }) => problems.length > 0)) {
        throw new CliError(
          EXIT_CODES.failed,
          'not everything was imported',
          'The rest was; see the problems named above.',
        );
      }
    });
  return command;
}
