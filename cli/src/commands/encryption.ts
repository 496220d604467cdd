/** The keys that encrypt connections and variables at rest. The server holds them; the file of ours is changed here. */
import { chownSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';

type Key = { readonly id: string; readonly state: string; readonly texts: number };
type Listed = { readonly keys: readonly Key[] };
type Rotated = Listed & { readonly sealed: number; readonly unreadable: number };

const RESTART = 'Restart the server; it reads its keys at start.';

/** The keys that standalone made, the first of which encrypts. */
function readFile(path: string): { readonly keys: string[]; readonly uid: number; readonly gid: number } {
  try {
    const { uid, gid } = statSync(path);
    return { keys: readFileSync(path, 'utf8').trim().split(','), uid, gid };
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code;
    throw new CliError(
      EXIT_CODES.failed,
      reason === 'ENOENT' ? `there is no ${path}` : `${path} can't be read (${reason})`,
      'Keys of [core] fernet_key are changed where that option is set: a new one in front, separated by a comma.',
    );
  }
}

/** Whole or not at all, also after a crash, and its owner's alone. */
function writeFile(path: string, keys: readonly string[], owner: { readonly uid: number; readonly gid: number }): void {
  const draft = `${path}.new`;
  const fd = openSync(draft, 'w', 0o600);
  try {
    writeSync(fd, `${keys.join(',')}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  chownSync(draft, owner.uid, owner.gid);
  renameSync(draft, path);
}

/** As the server names it. @see control/src/api/secrets/index.ts */
async function idOf(key: string): Promise<string> {
  const digest = await globalThis.crypto.subtle.digest('SHA-256', Buffer.from(key, 'base64url'));
  return Buffer.from(digest).toString('base64url').slice(0, 8);
}

export function encryptionCommand(context: Context): Command {
  const encryption = new Command('encryption').description(
    "the keys that encrypt connections and variables at rest (on the server's own machine, as its user or root)",
  );
  const path = () => join(context.home, 'keys', 'fernet');
  const table = (keys: readonly Key[]) =>
    context.output.table(
      ['KEY', 'STATE', 'TEXTS'],
      keys.map(({ id, state, texts }) => [id || '-', state, String(texts)]),
    );
  const list = async (): Promise<readonly Key[]> =>
    (await context.client().json<Listed>('GET', '/local/encryption')).keys;
  encryption
    .command('list')
    .description('the keys, and how many texts each has encrypted')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const keys = await list();
      if (options.json) return context.output.json(keys);
      table(keys);
    });
  encryption
    .command('new-key')
    .description('put a new key in front of those in keys/fernet; it encrypts after the next start of the server')
    .action(() => {
      const { keys, ...owner } = readFile(path());
      const key = Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(32))).toString('base64url');
      writeFile(path(), [key, ...keys], owner);
      context.output.line(`${RESTART} Then: airlock encryption rotate`);
    });
  encryption
    .command('rotate')
    .description('encrypt everything with the first key; may be stopped and begun again, and nobody has to wait')
    .option(
      '--from-airflow',
      "take what Airflow has encrypted with one of the keys, too: rows copied from Airflow's database",
    )
    .action(async (options: { fromAirflow?: boolean }) => {
      let total = 0;
      for (;;) {
        const body = { from_airflow: options.fromAirflow ?? false };
        const done = await context.client().json<Rotated>('POST', '/local/encryption', body);
        total += done.sealed;
        if (done.sealed > 0) {
          context.output.line(`encrypted ${total} rows`);
          continue;
        }
        table(done.keys);
        if (done.unreadable === 0) return;
        throw new CliError(
          EXIT_CODES.failed,
          `${done.unreadable} rows can not be opened and stay as they are`,
          'Add the key that has encrypted them behind the first; for rows of Airflow use --from-airflow.',
        );
      }
    });
  encryption
    .command('retire <key>')
    // One key in 64 has a name that begins with a dash.
    .allowUnknownOption()
    .description('take a key out of keys/fernet with which nothing is encrypted any more')
    .action(async (id: string) => {
      const used = (await list()).find((key) => key.id === id);
      if (used?.state === 'encrypts')
        throw new CliError(EXIT_CODES.failed, `${id} is the key that encrypts`, 'Make a new one first.');
      if (used && used.texts > 0)
        throw new CliError(
          EXIT_CODES.failed,
          `${used.texts} texts are encrypted with ${id}`,
          'First: airlock encryption rotate',
        );
      const { keys, ...owner } = readFile(path());
      const ids = await Promise.all(keys.map(idOf));
      const kept = keys.filter((_, n) => ids[n] !== id);
      if (kept.length === keys.length) throw new CliError(EXIT_CODES.failed, `${path()} has no key ${id}`);
      if (ids[0] === id) throw new CliError(EXIT_CODES.failed, `${id} is the first key`, 'Make a new one first.');
      writeFile(path(), kept, owner);
      context.output.line(`retired ${id}. ${RESTART}`);
    });
  return encryption;
}
