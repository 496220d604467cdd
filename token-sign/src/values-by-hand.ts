import { join } from 'node:path';
import { configFor, type TokenServiceValues } from '@airlock/contract/config/handed';

/** What a service without a starter reads from airlock.cfg and environment. Never makes a key. @throws CONFIG_INVALID */
export async function valuesByHand(env: NodeJS.ProcessEnv): Promise<TokenServiceValues> {
  // Loaded only here: under standalone this process reads neither files of configuration nor the environment.
  const { loadConfig } = await import('@airlock/proc/config-load');
  const { config, home, warnings } = loadConfig(env, 'token-service');
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  return {
    config: configFor(config, 'token-service'),
    keys_dir: join(home, 'keys', 'signing'),
    socket_path: join(home, 'run', 'token', 'token.sock'),
    generate: false,
    peer_uids: [process.getuid?.() ?? 0],
  };
}
