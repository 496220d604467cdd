import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isAppError } from '@airlock/contract/errors';
import { expand, homeFolder, loadConfig, splitCommand } from './config-load.ts';
import { parseIni } from './ini.ts';

function home(text?: string): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'airlock-config-'));
  if (text !== undefined) writeFileSync(join(path, 'airlock.cfg'), text);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test('The file is read as Airflow reads its own: comments, colons, several lines, doubled percent signs', () => {
  const text =
    '# c\n; c\n[Core]\nDags_Folder = /a%%b # not a comment\nload_examples: false\n\n[api]\nhost =\n  one\n  two\n';
  assert.deepEqual(parseIni(text, 'f'), {
    core: { dags_folder: '/a%b # not a comment', load_examples: 'false' },
    api: { host: '\none\ntwo' },
  });
});

test('A broken line of the file is refused with its number, and its text stays out of the message', () => {
  for (const [text, line] of [
    ['[core]\nhunter2\n', 2],
    ['hunter2 = 1\n', 1],
  ] as const) {
    assert.throws(
      () => parseIni(text, 'airlock.cfg'),
      (error) =>
        isAppError(error, 'CONFIG_INVALID') &&
        error.message.includes(`line ${line}`) &&
        !error.message.includes('hunter2'),
    );
  }
});

test('A missing file means defaults; home and variables are expanded', () => {
  using folder = home();
  const { config } = loadConfig({
    AIRLOCK_HOME: folder.path,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the form that a shell has
    AIRLOCK__LOGGING__BASE_LOG_FOLDER: '${AIRLOCK_HOME}/$SUB',
    SUB: 'x',
  });
  assert.equal(config.core.dags_folder, join(folder.path, 'dags'));
  assert.equal(config.logging.base_log_folder, join(folder.path, 'x'));
});

test('AIRLOCK_DATABASE_URL means [database] sql_alchemy_conn, and the long name beats it', () => {
  using folder = home('[database]\nsql_alchemy_conn = postgresql://file\n');
  const url = (env: Record<string, string>) =>
    loadConfig({ AIRLOCK_HOME: folder.path, ...env }).config.database.sql_alchemy_conn;
  assert.equal(url({}), 'postgresql://file');
  assert.equal(url({ AIRLOCK_DATABASE_URL: 'postgresql://short' }), 'postgresql://short');
  assert.equal(
    url({ AIRLOCK_DATABASE_URL: 'postgresql://short', AIRLOCK__DATABASE__SQL_ALCHEMY_CONN: 'postgresql://long' }),
    'postgresql://long',
  );
});

test('A command gives a sensitive value without a shell; a failing one is refused and its output is not shown', () => {
  using folder = home();
  const key = (line: string) =>
    loadConfig({ AIRLOCK_HOME: folder.path, AIRLOCK__CORE__FERNET_KEY_CMD: line }).config.core.fernet_key;
  assert.equal(key("printf '%s' 'a b'"), 'a b');
  assert.equal(key('echo $HOME;x'), '$HOME;x');
  assert.throws(
    () => key('ls /hunter2'),
    (error) => isAppError(error, 'CONFIG_INVALID') && !error.message.includes('hunter2'),
  );
});

test('Commands are split as a shell would', () => {
  assert.deepEqual(splitCommand(`  a 'b c' "d \\" \\x" e\\ f ''  g"h"i `), ['a', 'b c', 'd " \\x', 'e f', '', 'ghi']);
  assert.throws(
    () => splitCommand(`a 'b`),
    (error) => isAppError(error, 'CONFIG_INVALID'),
  );
});

test('Unknown variables stay, and a value that grows for ever ends', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the form that a shell has
  assert.equal(expand('~/a $NOPE ${B}', { B: '$C', C: 'c' }, '/h'), '/h/a $NOPE c');
  assert.ok(expand('$A', { A: '$A$A' }, '/h').length > 0);
});

test('The data folder is AIRLOCK_HOME, else that of the user', () => {
  assert.equal(homeFolder({ AIRLOCK_HOME: '/x' }), '/x');
  assert.equal(homeFolder({ HOME: '/home/me' }), process.getuid!() === 0 ? '/var/lib/airlock' : '/home/me/airlock');
});
