/** Tokens of `airlock login`, one per server, in a file that only this user can read. */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export function tokenFile(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config'), 'airlock', 'tokens.json');
}

function readAll(env: NodeJS.ProcessEnv): Record<string, string> {
  try {
    return JSON.parse(readFileSync(tokenFile(env), 'utf8')) as Record<string, string>;
  } catch {
    return {}; // none yet, or not ours to read: the same as not being logged in
  }
}

/** `AIRLOCK_TOKEN`, else what `login` kept for this server; null for neither. */
export function findToken(env: NodeJS.ProcessEnv, url: string): string | null {
  return env.AIRLOCK_TOKEN || readAll(env)[originOf(url)] || null;
}

export function saveToken(env: NodeJS.ProcessEnv, url: string, token: string): void {
  const file = tokenFile(env);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify({ ...readAll(env), [originOf(url)]: token })}\n`, { mode: 0o600 });
  chmodSync(draft, 0o600); // the mode above is only for a file that is new
  renameSync(draft, file);
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}
