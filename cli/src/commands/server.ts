/** Commands about the server itself and about who we are to it. */
import { BUNDLE_ITSELF, FAILING_BUNDLES_HEADER } from '@airlock/contract/bundles';
import { ALARM_HOURS, MAX_COUNTED_ALARMS, TOKEN_ALARMS_HEADER } from '@airlock/contract/token-alarms';
import { Command } from 'commander';
import { type Answer, refusal } from '../client.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';
import { shortInstant } from '../output.ts';
import { readSecretLine } from '../secret-input.ts';
import { saveToken, tokenFile } from '../token-store.ts';
import type { ImportError } from '../wire.ts';

type Component = { readonly status: string | null };

export function healthCommand(context: Context): Command {
  return new Command('health')
    .description('whether every part of the server is well; exit status 1 when not')
    .option('--json', "the server's own answer")
    .action(async (options: { json?: boolean }) => {
      const answer = await context.client().raw('GET', '/api/v2/monitor/health');
      if (answer.status !== 200) throw refusal(answer);
      const health = JSON.parse(answer.text) as Record<string, Component>;
      if (options.json) context.output.json(health);
      else
        for (const [name, { status }] of [...Object.entries(health), ...signingOf(answer)])
          context.output.line(
            `${name}  ${context.output.paint(status === 'healthy' ? 'green' : status === null ? 'dim' : 'red', status ?? 'not used')}`,
          );
      const alarms = Number(answer.headers[TOKEN_ALARMS_HEADER] ?? 0);
      if (alarms > 0) {
        const many = alarms >= MAX_COUNTED_ALARMS ? `at least ${alarms}` : String(alarms);
        context.output.note(
          `${many} misused tokens were refused in the last ${ALARM_HOURS} hours: airlock tokens alarms`,
        );
      }
      if (Number(answer.headers[FAILING_BUNDLES_HEADER] ?? 0) > 0) await noteFailingBundles(context);
      if (answer.headers['airlock-all-admins'] === 'on') {
        context.output.note(
          'NOBODY HAS TO LOG IN: [core] simple_auth_manager_all_admins makes everybody on this machine an administrator',
        );
      }
      if (Object.values(health).some(({ status }) => status === 'unhealthy'))
        throw new CliError(EXIT_CODES.failed, 'a part of the server is not healthy');
    });
}

/** Anybody may know that there are some; which they are the server tells whoever may see them. */
async function noteFailingBundles(context: Context): Promise<void> {
  const path = `/api/v2/importErrors?limit=100&filename=${encodeURIComponent(BUNDLE_ITSELF)}`;
  const answer = await context.client().raw('GET', path);
  const rows = answer.status === 200 ? (JSON.parse(answer.text) as { import_errors: ImportError[] }).import_errors : [];
  for (const { bundle_name: name, timestamp, stack_trace: why } of rows)
    context.output.note(`the bundle ${name} can't be read since ${shortInstant(timestamp)}: ${why.trimEnd()}`);
  if (rows.length === 0) context.output.note("a bundle can't be read: airlock dags errors, once logged in, names it");
}

/** Told beside the body, which has no room for it. */
function signingOf({ headers }: Answer): Array<[string, Component]> {
  const status = headers['airlock-signing'];
  return typeof status === 'string' ? [['signing', { status }]] : [];
}

export function jwksCommand(context: Context): Command {
  return new Command('jwks')
    .description("the public keys that verify the server's tokens (RFC 7517)")
    .action(async () => context.output.json(await context.client().json('GET', '/.well-known/jwks.json')));
}

export function versionCommand(context: Context, version: string): Command {
  return new Command('version')
    .description('version of this command, and of the server when one answers')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const server = await context
        .client()
        .raw('GET', '/api/v2/version')
        .catch((error: unknown) => {
          if (error instanceof CliError && error.exitCode === EXIT_CODES.unreachable) return null;
          throw error;
        });
      const wire = server?.status === 200 ? (JSON.parse(server.text) as { version: string }).version : null;
      if (options.json) return context.output.json({ airlock: version, node: process.version, server: wire });
      context.output.line(
        `airlock ${version} (Node ${process.version})${wire === null ? '' : `; the server speaks the interfaces of Airflow ${wire}`}`,
      );
    });
}

export function loginCommand(context: Context): Command {
  return new Command('login')
    .description('get a token for --url and keep it for an hour; later commands with the same --url use it')
    .requiredOption('--user <name>', 'user name')
    .option('--password-stdin', 'read the password from standard input instead of asking')
    .action(async (options: { user: string; passwordStdin?: boolean }, command: Command) => {
      const url = command.optsWithGlobals<{ url?: string }>().url;
      if (url === undefined)
        throw new CliError(
          EXIT_CODES.usage,
          'login needs --url',
          "Here, on the server's own machine, no login is needed.",
        );
      const password = await readSecretLine(context, 'Password: ', options.passwordStdin === true);
      const { access_token: token } = await context
        .client()
        .json<{ access_token: string }>('POST', '/auth/token/cli', { username: options.user, password });
      saveToken(context.env, url, token);
      context.output.line(
        `logged in to ${new URL(url).origin} as ${options.user}; the token is in ${tokenFile(context.env)}`,
      );
    });
}
