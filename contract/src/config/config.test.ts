import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAppError } from '../errors.ts';
import { adoptConfig, configFor } from './handed.ts';
import { type Config, resolveConfig, SECTIONS } from './index.ts';
import { type ConfigSources, resolveAll, unknownOptions } from './resolve.ts';

const from = (parts: Partial<ConfigSources> = {}): ConfigSources => ({
  env: {},
  ini: {},
  expand: (text) => text.replaceAll('$AIRLOCK_HOME', '/home/x/airlock'),
  ...parts,
});

test('With nothing set every option has its default, and paths are expanded', () => {
  const config: Config = resolveConfig(from());
  const port: number = config.api.port;
  const mode: 'auto' | 'strict' | 'airflow' = config.execution_api.rights_mode;
  assert.equal(port, 8080);
  assert.equal(config.api.host, '127.0.0.1');
  assert.equal(mode, 'auto');
  assert.equal(config.core.dags_folder, '/home/x/airlock/dags');
  assert.equal(config.database.sql_alchemy_conn, null);
});

test('AIRLOCK__ beats AIRFLOW__, which beats the file, which beats the default; old names come after new ones at each level', () => {
  const ini = { api: { port: '3' }, webserver: { web_server_port: '4' } };
  const port = (env: Record<string, string>, file: ConfigSources['ini'] = ini) =>
    resolveConfig(from({ env, ini: file })).api.port;
  assert.equal(port({ AIRLOCK__API__PORT: '1', AIRFLOW__API__PORT: '2' }), 1);
  assert.equal(port({ AIRFLOW__API__PORT: '2' }), 2);
  assert.equal(port({ AIRFLOW__WEBSERVER__WEB_SERVER_PORT: '5' }), 5);
  assert.equal(port({}), 3);
  assert.equal(port({}, { webserver: { web_server_port: '4' } }), 4);
  assert.equal(port({}, {}), 8080);
});

test('A sensitive option may come from a command, after a plain variable and before the file; others may not', () => {
  const ini = { database: { sql_alchemy_conn: 'postgresql://file/x', sql_alchemy_conn_cmd: 'never' } };
  const command = (line: string) => `from ${line}`;
  const url = (env: Record<string, string>) => resolveConfig(from({ env, ini, command })).database.sql_alchemy_conn;
  assert.equal(url({ AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD: 'cat /k' }), 'from cat /k');
  assert.equal(url({ AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD: 'c', AIRLOCK__DATABASE__SQL_ALCHEMY_CONN: 'p' }), 'p');
  assert.equal(url({}), 'postgresql://file/x');
  assert.equal(resolveConfig(from({ env: { AIRFLOW__API__PORT_CMD: 'echo 1' }, command })).api.port, 8080);
});

test('A _SECRET without a secrets backend is refused instead of giving an empty value', () => {
  const env = { AIRFLOW__CORE__FERNET_KEY_SECRET: 'path/of/key' };
  assert.throws(
    () => resolveConfig(from({ env })),
    (error) => isAppError(error, 'CONFIG_INVALID') && /\[core\] fernet_key/.test(error.message),
  );
});

test('Every wrong value is named with its option in one error, and no value appears in the text', () => {
  const env = {
    AIRLOCK__API__PORT: '70000',
    AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'hunter2',
    AIRLOCK__CORE__MULTI_TEAM: 'maybe',
  };
  assert.throws(
    () => resolveConfig(from({ env })),
    (error) => {
      assert.ok(isAppError(error, 'CONFIG_INVALID'));
      for (const part of [
        '[api] port is above 65535',
        '[execution_api] rights_mode is none of',
        '[core] multi_team is neither',
      ])
        assert.ok(error.message.includes(part), error.message);
      assert.ok(!error.message.includes('hunter2'));
      return true;
    },
  );
});

test('A process is handed only what its kind may read, and reading anything else is a programming error', () => {
  const env = { AIRLOCK__DATABASE__SQL_ALCHEMY_CONN: 'postgresql://u:planted@h/d' };
  const handed = configFor(resolveConfig(from({ env })), 'supervisor');
  assert.ok(!JSON.stringify(handed).includes('planted'));
  const config = adoptConfig(JSON.parse(JSON.stringify(handed)));
  assert.equal(config.workers.runner_pool_size, 2);
  assert.throws(() => config.database.sql_alchemy_conn, TypeError);
});

test('No sensitive option is ever handed to a host of user code', () => {
  for (const { section, key, row } of resolveAll(SECTIONS, from())) {
    if (row.sensitive) assert.ok(!row.readers.includes('supervisor'), `[${section}] ${key}`);
    assert.ok(row.advice.endsWith('.'), `[${section}] ${key} has no sentence of advice`);
    assert.ok(row.readers.length > 0, `[${section}] ${key} is read by nobody`);
  }
});

test('Unknown options of a file are found, former names and command forms are not among them', () => {
  const ini = {
    api: { port: '1', prot: '2' },
    webserver: { web_server_port: '1' },
    core: { fernet_key_cmd: 'x' },
    smtp: { host: 'h' },
  };
  assert.deepEqual(unknownOptions(SECTIONS, ini), ['[api] prot', '[smtp] host']);
});
