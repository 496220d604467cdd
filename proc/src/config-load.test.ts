import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

/** Without its lack of prototypes, which `deepEqual` minds. */
const copy = (value: unknown) => JSON.parse(JSON.stringify(value));

test('The file is read as Airflow reads its own: comments, colons, several lines, doubled percent signs', () => {
  const text =
    '# c\n; c\n[Core]\nDags_Folder = /a%%b # not a comment\nload_examples: false\n\n[api]\nhost =\n  one\n  two\n';
  assert.deepEqual(copy(parseIni(text, 'f').entries), {
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
  const { config } = loadConfig(
    {
      AIRLOCK_HOME: folder.path,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the form that a shell has
      AIRLOCK__LOGGING__BASE_LOG_FOLDER: '${AIRLOCK_HOME}/$SUB',
      SUB: 'x',
    },
    'standalone',
  );
  assert.equal(config.core.dags_folder, join(folder.path, 'dags'));
  assert.equal(config.logging.base_log_folder, join(folder.path, 'x'));
});

test('AIRLOCK_DATABASE_URL means [database] sql_alchemy_conn, and the long name beats it', () => {
  using folder = home('[database]\nsql_alchemy_conn = postgresql://file\n');
  const url = (env: Record<string, string>) =>
    loadConfig({ AIRLOCK_HOME: folder.path, ...env }, 'standalone').config.database.sql_alchemy_conn;
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
    loadConfig({ AIRLOCK_HOME: folder.path, AIRLOCK__DATABASE__SQL_ALCHEMY_CONN_CMD: line }, 'store').config.database
      .sql_alchemy_conn;
  assert.equal(key("printf '%s' 'postgresql://a b'"), 'postgresql://a b');
  assert.equal(key('echo postgresql://$AIRLOCK_HOME;x'), 'postgresql://$AIRLOCK_HOME;x', 'neither shell nor expansion');
  assert.throws(
    () => key('ls /hunter2'),
    (error) =>
      isAppError(error, 'CONFIG_INVALID') &&
      !error.message.includes('hunter2') &&
      error.message.includes('[database] sql_alchemy_conn') &&
      error.message.includes('(from AIRLOCK__DATABASE__SQL_ALCHEMY_CONN_CMD)'),
  );
});

test('A message names the line of the file, and warnings are gathered', () => {
  using folder = home('# first\n[api]\nhost = 127.0.0.1\nprot = 1\n\n[webserver]\nweb_server_port = 9\n');
  const { warnings, config } = loadConfig({ AIRLOCK_HOME: folder.path, AIRLOCK__API__HOTS: 'x' }, 'control');
  assert.equal(config.api.port, 9);
  const file = join(folder.path, 'airlock.cfg');
  assert.deepEqual(warnings, [
    `${file}, line 7: [webserver] web_server_port is now called [api] port.`,
    `${file}, line 4: nothing reads [api] prot; did you mean [api] port?`,
    'nothing reads the variable AIRLOCK__API__HOTS; did you mean AIRLOCK__API__HOST?',
  ]);
  writeFileSync(file, '[api]\n\nport = eighty\n');
  assert.throws(() => loadConfig({ AIRLOCK_HOME: folder.path }, 'control'), {
    message: `The configuration is wrong: [api] port is not a number (value "eighty" from ${file}, line 3; allowed: a whole number from 0 to 65535).`,
  });
});

test('A file with a secret that others may read is warned about; one that is ours alone, or holds none, is not', () => {
  const warnings = (text: string, mode: number) => {
    using folder = home(text);
    chmodSync(join(folder.path, 'airlock.cfg'), mode);
    return loadConfig({ AIRLOCK_HOME: folder.path }, 'control').warnings;
  };
  const secret = '[database]\nsql_alchemy_conn = postgresql://u:p@h/d\n';
  assert.match(warnings(secret, 0o644).join(), /airlock\.cfg holds secrets and may be read by others; run chmod 600/);
  assert.deepEqual(warnings(secret, 0o600), []);
  assert.deepEqual(warnings('[api]\nport = 1\n', 0o644), []);
});

test('A sensitive value that a kind of process must not have refuses its start, wherever it stands', () => {
  using folder = home('[database]\nsql_alchemy_conn = postgresql://file\n');
  const file = join(folder.path, 'airlock.cfg');
  assert.throws(() => loadConfig({ AIRLOCK_HOME: folder.path }, 'supervisor'), {
    code: 'CONFIG_INVALID',
    message: `This process (supervisor) must not be given [database] sql_alchemy_conn (from ${file}, line 2).`,
  });
  assert.equal(
    loadConfig({ AIRLOCK_HOME: folder.path }, 'control').config.database.sql_alchemy_conn,
    'postgresql://file',
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
