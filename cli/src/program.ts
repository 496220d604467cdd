/** The tree of commands. The processes (standalone, api-server, …) are started by bin/airlock itself; here they are only named. */
import { Command } from 'commander';
import { auditCommand } from './commands/audit.ts';
import { backfillCommand } from './commands/backfill.ts';
import { configCommand } from './commands/config.ts';
import { dagsCommand } from './commands/dags.ts';
import { encryptionCommand } from './commands/encryption.ts';
import { importCommand } from './commands/import.ts';
import { keysCommand } from './commands/keys.ts';
import { runsCommand } from './commands/runs.ts';
import { healthCommand, jwksCommand, loginCommand, versionCommand } from './commands/server.ts';
import { tasksCommand } from './commands/tasks.ts';
import { teamsCommand } from './commands/teams.ts';
import { tokensCommand } from './commands/tokens.ts';
import { usersCommand } from './commands/users.ts';
import { workersCommand } from './commands/workers.ts';
import type { Context } from './context.ts';
import { CliError, EXIT_CODES } from './exit-codes.ts';

/** Started by bin/airlock, which becomes them; the help names them. */
const STARTED_BY_LAUNCHER: ReadonlyArray<readonly [string, string]> = [
  ['standalone', 'start everything on this machine: PostgreSQL, token-service, control, supervisor'],
  ['api-server', 'start one API server'],
  ['scheduler', 'start one scheduler'],
  ['worker', 'start a supervisor that runs tasks'],
  ['dag-processor', 'start a supervisor that reads Dag files'],
  ['triggerer', 'start a supervisor that runs what deferred tasks wait for'],
  ['token-service', 'start the signer'],
];

/** Global options, read again by main.ts before the commands run. */
export type GlobalOptions = { readonly url?: string };

export function createProgram(context: Context, version: string): Command {
  const program = new Command('airlock')
    .description('Airlock: workflows in which a compromised task can only be itself')
    .option('--url <url>', 'server to speak to, with AIRLOCK_TOKEN or after login; without it the one of AIRLOCK_HOME')
    .version(version, '-V, --version')
    .showHelpAfterError('(see --help)')
    .addHelpText(
      'after',
      '\nExit status: 0 done, 1 failed, 2 wrong usage, 3 no server, 4 not allowed, 5 not found, 6 still running, 130 interrupted.',
    )
    .exitOverride();
  for (const [name, description] of STARTED_BY_LAUNCHER) {
    program.command(name).description(description).helpOption(true).action(startedByLauncher(name));
  }
  const db = new Command('db').description('the database');
  db.command('migrate')
    .description("bring the database to this release's tables")
    .action(startedByLauncher('db migrate'));
  program.addCommand(inherit(db, context));
  const commands = [
    dagsCommand,
    runsCommand,
    backfillCommand,
    tasksCommand,
    usersCommand,
    keysCommand,
    encryptionCommand,
    teamsCommand,
    workersCommand,
    tokensCommand,
    auditCommand,
    importCommand,
    configCommand,
    healthCommand,
    jwksCommand,
    loginCommand,
  ];
  for (const command of commands) program.addCommand(inherit(command(context), context));
  program.addCommand(inherit(versionCommand(context, version), context));
  return program;
}

/** Reached only when somebody starts main.ts itself. */
export function startedByLauncher(name: string): () => never {
  return () => {
    throw new CliError(EXIT_CODES.usage, `${name} is a process: start it with cli/bin/airlock ${name}`);
  };
}

/** Commander does not hand these settings down to commands that were made apart. */
function inherit(command: Command, context: Context): Command {
  command
    .exitOverride()
    .showHelpAfterError('(see --help)')
    .configureOutput({
      writeOut: (text) => context.output.line(text.trimEnd()),
      writeErr: (text) => context.output.note(text.trimEnd()),
    });
  for (const inner of command.commands) inherit(inner, context);
  return command;
}
