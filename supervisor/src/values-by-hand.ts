/** What a supervisor that an operator started reads from airlock.cfg, environment and command line. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { configFor, type SupervisorValues } from '@airlock/contract/config/handed';
import type { Config } from '@airlock/contract/config/index';
import { AppError } from '@airlock/contract/errors';
import { SUPERVISOR_ROLES } from '@airlock/contract/supervisor-api';

const USAGE =
  'Start it with --ticket-file PATH, a file that holds a ticket of: airlock workers join-ticket; and with --server URL unless [core] execution_api_server_url says where the server is.';

/** `--server` names the server; the Execution API is below it. */
function executionUrl(server: string | undefined, config: Config): string {
  const scheme = config.api.ssl_cert === null ? 'http' : 'https';
  const base = server ?? config.api.base_url ?? `${scheme}://127.0.0.1:${config.api.port}`;
  const url =
    server === undefined && config.core.execution_api_server_url !== null
      ? config.core.execution_api_server_url
      : `${base.replace(/\/+$/, '')}/execution`;
  return url.replace(/\/+$/, '');
}

function readTicket(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', {
      public: `The join ticket can't be read: ${(cause as Error).message}`,
      remedy: USAGE,
      cause,
    });
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        role: { type: 'string', multiple: true },
        'ticket-file': { type: 'string' },
        server: { type: 'string' },
      },
    }).values;
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', { public: `${(cause as Error).message}.`, remedy: USAGE, cause });
  }
}

/**
 * `--role worker|parse|trigger` (repeatable), `--server URL` and `--ticket-file PATH`, a file that holds one join ticket. A
 * ticket is good once, so a file that somebody finds later opens nothing.
 * @throws AppError CONFIG_INVALID
 */
export async function valuesByHand(args: readonly string[], env: NodeJS.ProcessEnv): Promise<SupervisorValues> {
  // Loaded only here: under standalone this process reads neither files of configuration nor the environment.
  const { loadConfig } = await import('@airlock/proc/config-load');
  const { readCertificates } = await import('@airlock/proc/tls-files');
  const { config, home, warnings } = loadConfig(env, 'supervisor');
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const options = parse(args);
  const roles = SUPERVISOR_ROLES.filter((role) => (options.role ?? ['worker']).includes(role));
  const ticketFile = options['ticket-file'];
  if (ticketFile === undefined || roles.length === 0)
    throw new AppError('CONFIG_INVALID', { public: 'A supervisor needs a role and a join ticket.', remedy: USAGE });
  const ticket = readTicket(ticketFile);
  const workDir = join(home, 'run', 'work');
  mkdirSync(workDir, { recursive: true, mode: 0o711 });
  return {
    config: configFor(config, 'supervisor'),
    execution_url: executionUrl(options.server, config),
    roles,
    join_ticket: ticket,
    work_dir: workDir,
    server_trust: {
      pinned: config.api.ssl_cert && readCertificates('ssl_cert', config.api.ssl_cert),
      authorities: config.api.ssl_ca_file && readCertificates('ssl_ca_file', config.api.ssl_ca_file),
    },
  };
}
