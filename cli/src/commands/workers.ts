/** Operator commands about supervisors, the processes that host user code: only over the control socket. */
import { Command, type Command as CommandType, InvalidArgumentError, Option } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';

const ROLES = ['worker', 'parse', 'trigger'] as const;

type Supervisor = {
  readonly id: string;
  readonly hostname: string;
  readonly pid: number;
  readonly roles: readonly string[];
  readonly bundles: readonly string[] | null;
  readonly sandbox_tier: string;
  readonly state: string;
  readonly last_seen_at: string;
  readonly holds: number;
};
type TicketOptions = {
  readonly role?: string[];
  readonly bundle?: string[];
  readonly allBundles?: boolean;
  readonly expires: number;
  readonly json?: boolean;
};
type Ticket = { readonly id: string; readonly roles: readonly string[]; readonly expires_at: string };

/** `90`, `90s`, `10m`, `2h` → seconds. */
function parseDuration(text: string): number {
  const match = /^(\d{1,6})([smh]?)$/.exec(text);
  if (!match) throw new InvalidArgumentError('must be a time such as 90s, 10m or 2h');
  return Number(match[1]) * { '': 1, s: 1, m: 60, h: 3600 }[match[2] as '' | 's' | 'm' | 'h'];
}

/** The supervisor that an id, or the beginning of one, names. */
function pick(supervisors: readonly Supervisor[], id: string): Supervisor {
  const [first, second] = supervisors.filter((each) => each.id.startsWith(id.toLowerCase()));
  if (!first) throw new CliError(EXIT_CODES.notFound, `no supervisor ${id}`, 'List them with: airlock workers list.');
  if (second) throw new CliError(EXIT_CODES.usage, `${id} begins the id of more than one supervisor`);
  return first;
}

export function workersCommand(context: Context): CommandType {
  const workers = new Command('workers').description(
    "which processes host user code (on the server's own machine, as its user or root)",
  );
  workers
    .command('list')
    .description('who has joined and when it was last heard of, and tickets that are still unused')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const client = context.client();
      const { supervisors } = await client.json<{ supervisors: readonly Supervisor[] }>('GET', '/local/supervisors');
      const { tickets } = await client.json<{ tickets: readonly Ticket[] }>('GET', '/local/join-tickets');
      if (options.json) return context.output.json({ supervisors, tickets });
      context.output.table(
        ['SUPERVISOR', 'HOST', 'PID', 'ROLES', 'BUNDLES', 'SANDBOX', 'STATE', 'HOLDS', 'LAST SEEN'],
        supervisors.map((each) => [
          each.id,
          each.hostname,
          String(each.pid),
          each.roles.join(' '),
          each.roles.includes('parse') ? (each.bundles?.join(' ') ?? 'all') : '',
          each.sandbox_tier,
          each.state,
          String(each.holds),
          each.last_seen_at,
        ]),
      );
      if (tickets.length === 0) return;
      context.output.table(
        ['UNUSED TICKET', 'ROLES', 'EXPIRES'],
        tickets.map((each) => [each.id, each.roles.join(' '), each.expires_at]),
      );
    });
  workers
    .command('join-ticket')
    .description('make a ticket with which one worker may join, once; it is shown only now')
    .addOption(
      new Option('--role <role>', 'what it may do (repeatable)')
        .choices(ROLES)
        .argParser((value: string, before: string[] | undefined) => {
          if (!ROLES.includes(value as (typeof ROLES)[number]))
            throw new InvalidArgumentError(`Allowed choices are ${ROLES.join(', ')}.`);
          return [...(before ?? []), value];
        }),
    )
    .option(
      '--bundle <name>',
      'what a Dag processor may parse (repeatable); it reads what the teams of these may read',
      (value: string, before: string[] | undefined) => [...(before ?? []), value],
    )
    .option('--all-bundles', 'it may parse every bundle; has to be said where [core] multi_team is on')
    .option('--expires <time>', 'how long it may wait to be used, 1 minute to 24 hours', parseDuration, 3600)
    .option('--json', 'as JSON')
    .action(async (options: TicketOptions) => {
      if (options.bundle && options.allBundles)
        throw new CliError(EXIT_CODES.usage, '--bundle and --all-bundles contradict each other');
      const bundles = options.bundle ?? (options.allBundles ? null : undefined);
      const body = { roles: options.role ?? ['worker'], ttl_seconds: options.expires, bundles };
      const made = await context
        .client()
        .json<{ ticket: string; id: string; expires_at: string }>('POST', '/local/join-tickets', body);
      if (options.json) return context.output.json(made);
      context.output.line(made.ticket);
      context.output.note(
        `ticket ${made.id}, good once until ${made.expires_at}: put it in a file of the worker's host (chmod 600), and start there`,
      );
      context.output.note('  airlock worker --server https://HOST --ticket-file PATH');
    });
  workers
    .command('revoke <id>')
    .description('put a supervisor out at once; what it runs is taken away from it')
    .action(async (id: string) => {
      const client = context.client();
      const { supervisors } = await client.json<{ supervisors: readonly Supervisor[] }>('GET', '/local/supervisors');
      const found = pick(supervisors, id);
      const { released } = await client.json<{ released: number }>('DELETE', `/local/supervisors/${found.id}`);
      context.output.line(`revoked ${found.id} on ${found.hostname}; ${released} tries were taken away from it`);
    });
  workers
    .command('revoke-ticket <id>')
    .description('take back a ticket that was not used')
    .action(async (id: string) => {
      await context.client().json('DELETE', `/local/join-tickets/${encodeURIComponent(id)}`);
      context.output.line(`ticket ${id} is worth nothing now`);
    });
  return workers;
}
