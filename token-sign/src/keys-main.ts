import { statSync } from 'node:fs';
import { join } from 'node:path';
import { signingSource } from '@airlock/contract/config/signing';
import { AppError, isAppError } from '@airlock/contract/errors';
import { KEY_TABLE_HEAD, keyTableRow, retired, rotated } from '@airlock/contract/key-table';
import { loadConfig } from '@airlock/proc/config-load';
import { configuredKeys } from './configured-keys.ts';
import { type KeyOperation, operate } from './operate.ts';

/** @returns the exit status: 0 done, 1 refused, 2 wrong usage. */
export async function runKeys(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const operation = parse(args.filter((arg) => arg !== '--json'));
  if (!operation) {
    process.stderr.write('usage: airlock keys list [--json] | rotate | retire KID\n');
    return 2;
  }
  try {
    const { config, home } = loadConfig(env, 'token-service');
    const folder = join(home, 'keys', 'signing');
    const source = signingSource(config.api_auth);
    becomeOwnerOf(source.from === 'file' ? source.path : folder);
    const warn = (text: string) => process.stderr.write(`${text}\n`);
    const keys = configuredKeys(config.api_auth, { folder, generate: false, nowMs: Date.now, warn });
    const listed = operate(keys, operation);
    if (operation.op === 'rotate_key') process.stdout.write(`${rotated(listed)}\n`);
    else if (operation.op === 'retire_key') process.stdout.write(`${retired(operation.kid)}\n`);
    else if (args.includes('--json')) process.stdout.write(`${JSON.stringify(listed, null, 2)}\n`);
    else process.stdout.write(table([KEY_TABLE_HEAD, ...listed.map(keyTableRow)]));
    return 0;
  } catch (error) {
    if (!isAppError(error)) throw error;
    process.stderr.write(`airlock: ${error.message} (${error.code})\n${error.remedy}\n`);
    return 1;
  }
}

function parse([verb, kid, ...rest]: readonly string[]): KeyOperation | null {
  if (rest.length > 0 || (verb === 'retire') !== (kid !== undefined)) return null;
  if (verb === 'list') return { op: 'list_keys' };
  if (verb === 'rotate') return { op: 'rotate_key' };
  return verb === 'retire' && kid !== undefined ? { op: 'retire_key', kid } : null;
}

/** Root acts as the user of token-service, so that what is made belongs to it. @throws KEY_UNAVAILABLE */
function becomeOwnerOf(path: string): void {
  if (process.getuid?.() !== 0) return;
  const owner = statSync(path, { throwIfNoEntry: false });
  if (!owner) {
    throw new AppError('KEY_UNAVAILABLE', {
      public: `There is no ${path}.`,
      remedy: 'Start airlock standalone once, which makes it, or set AIRLOCK_HOME.',
    });
  }
  process.setgroups?.([]);
  process.setgid?.(owner.gid);
  process.setuid?.(owner.uid);
}

function table(rows: ReadonlyArray<readonly string[]>): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
