/** What a supervisor that an operator started reads from airlock.cfg, environment and command line. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { configFor, type SupervisorValues } from '@airlock/contract/config/handed';
import { AppError } from '@airlock/contract/errors';
import { SUPERVISOR_ROLES } from '@airlock/contract/supervisor-api';

/**
 * `--role worker|parse|trigger` (repeatable) and `--ticket-file PATH`, a file that holds one join ticket. A ticket is good
 * once, so a file that somebody finds later opens nothing.
 * @throws AppError CONFIG_INVALID
 */
export async function valuesByHand(args: readonly string[], env: NodeJS.ProcessEnv): Promise<SupervisorValues> {
  // Loaded only here: under standalone this process reads neither files of configuration nor the environment.
  const { loadConfig } = await import('@airlock/proc/config-load');
  const { config, home, warnings } = loadConfig(env, 'supervisor');
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const { values } = parseArgs({
    args: [...args],
    options: { role: { type: 'string', multiple: true }, 'ticket-file': { type: 'string' } },
  });
  const roles = SUPERVISOR_ROLES.filter((role) => (values.role ?? ['worker']).includes(role));
  if (values['ticket-file'] === undefined || roles.length === 0) {
    throw new AppError('CONFIG_INVALID', {
      public: 'A supervisor needs a role and a join ticket.',
      remedy:
        'Start it with --role worker or --role parse, and --ticket-file PATH; airlock standalone does so by itself.',
    });
  }
  let ticket: string;
  try {
    ticket = readFileSync(values['ticket-file'], 'utf8').trim();
  } catch (error) {
    throw new AppError('CONFIG_INVALID', { public: `The join ticket can't be read: ${(error as Error).message}` });
  }
  const base = config.api.base_url ?? `http://127.0.0.1:${config.api.port}`;
  const workDir = join(home, 'run', 'work');
  mkdirSync(workDir, { recursive: true, mode: 0o711 });
  return {
    config: configFor(config, 'supervisor'),
    execution_url: (config.core.execution_api_server_url ?? `${base.replace(/\/+$/, '')}/execution`).replace(
      /\/+$/,
      '',
    ),
    roles,
    join_ticket: ticket,
    work_dir: workDir,
  };
}
