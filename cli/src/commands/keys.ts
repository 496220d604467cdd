/** The keys that sign tokens: over the control socket while a server runs, on the files while none does. */
import type { ListedKey } from '@airlock/contract/ipc/token-service';
import { KEY_TABLE_HEAD, keyTableRow, retired, rotated } from '@airlock/contract/key-table';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';

type Answer = { readonly keys: readonly ListedKey[] };

export function keysCommand(context: Context): Command {
  const keys = new Command('keys').description(
    "the keys that sign tokens (on the server's own machine, as its user or root; also while it is stopped)",
  );
  /** The server's answer; without a server this process becomes the one that works on the files. */
  const ask = async (method: string, path: string, ...words: readonly string[]): Promise<Answer> => {
    const client = context.client();
    try {
      return await client.json<Answer>(method, path);
    } catch (error) {
      if (!(error instanceof CliError) || error.exitCode !== EXIT_CODES.unreachable || !client.isLocal) throw error;
      return context.becomeKeysTool(words);
    }
  };
  keys
    .command('list')
    .description('all keys, newest first: which signs, which is next, which only verify')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const { keys: rows } = await ask('GET', '/local/keys', 'list', ...(options.json ? ['--json'] : []));
      if (options.json) return context.output.json(rows);
      context.output.table([...KEY_TABLE_HEAD], rows.map(keyTableRow));
    });
  keys
    .command('rotate')
    .description('make a new key, which signs some seconds later; what the former one signed stays good')
    .action(async () => context.output.line(rotated((await ask('POST', '/local/keys', 'rotate')).keys)));
  keys
    .command('retire <kid>')
    // One key in 64 has a name that begins with a dash.
    .allowUnknownOption()
    .description('forget a key that no longer signs; every token that it signed is refused')
    .action(async (kid: string) => {
      await ask('DELETE', `/local/keys/${encodeURIComponent(kid)}`, 'retire', kid);
      context.output.line(retired(kid));
    });
  return keys;
}
