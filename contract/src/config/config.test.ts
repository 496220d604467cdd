import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAppError } from '../errors.ts';
import { adoptConfig, configFor, shownValue } from './handed.ts';
import { type Config, resolveConfig, SECTIONS } from './index.ts';
import { strayValues } from './must-not-have.ts';
import { PROCESS_KINDS, type ProcessKind } from './options.ts';
import { type ConfigSources, HIDDEN, namesOfSecrets, resolveAll } from './resolve.ts';
import { unknownOptions } from './unknown.ts';

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
  const command = (line: string) => `postgresql://from/${line}`;
  const url = (env: Record<string, string>) => resolveConfig(from({ env, ini, command })).database.sql_alchemy_conn;
  assert.equal(url({ AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD: 'cat' }), 'postgresql://from/cat');
  assert.equal(
    url({ AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD: 'c', AIRLOCK__DATABASE__SQL_ALCHEMY_CONN: 'postgresql://p' }),
    'postgresql://p',
  );
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

test('A _SECRET is what the back end has under its name, after _CMD and before the file; what it does not have is an error', () => {
  const held = new Map([['path/of/url', 'postgresql://held/x']]);
  const asked: string[] = [];
  const secret = (name: string) => {
    asked.push(name);
    return held.get(name) ?? null;
  };
  const ini = { database: { sql_alchemy_conn: 'postgresql://file/x' } };
  const url = (env: Record<string, string>) =>
    resolveConfig(from({ env, ini, secret, command: () => 'postgresql://command/x' })).database.sql_alchemy_conn;
  const name = { AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET: 'path/of/url' };
  assert.equal(url(name), 'postgresql://held/x');
  assert.equal(url({ ...name, AIRLOCK__DATABASE__SQL_ALCHEMY_CONN_CMD: 'c' }), 'postgresql://command/x');
  assert.equal(url({ ...name, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: 'postgresql://plain/x' }), 'postgresql://plain/x');
  assert.deepEqual(asked, ['path/of/url']);
  assert.throws(
    () => url({ AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET: 'nowhere' }),
    (error) => isAppError(error, 'CONFIG_INVALID') && /nothing of that name/.test(error.message),
  );
  // An option that is no secret asks for nothing.
  assert.equal(resolveConfig(from({ env: { AIRFLOW__API__PORT_SECRET: 'p' }, secret })).api.port, 8080);
  assert.deepEqual(asked, ['path/of/url', 'nowhere']);
});

test('Before anything is asked, the names are known; nothing runs for it, and what only shows needs no answer', () => {
  const env = { AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET: 'a', AIRLOCK__CORE__FERNET_KEY_CMD: 'never runs' };
  const command = () => assert.fail('a command has run');
  const ini = { api_auth: { jwt_secret_secret: 'b' }, core: { fernet_key_secret: 'hidden behind the command' } };
  assert.deepEqual(namesOfSecrets(SECTIONS, from({ env, ini, command })).sort(), ['a', 'b']);
  const shown = resolveAll(
    SECTIONS,
    from({ env: { ...env, AIRLOCK__CORE__FERNET_KEY_CMD: undefined }, secret: 'unasked' }),
  );
  const conn = shown.find((option) => option.key === 'sql_alchemy_conn')!;
  assert.deepEqual([conn.value, conn.source], [null, 'AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET, asked at the start']);
});

test('Every wrong value is named in one error: option, value, place and what is allowed; a secret is hidden', () => {
  const env = {
    AIRLOCK__API__PORT: '70000',
    AIRFLOW__EXECUTION_API__RIGHTS_MODE: 'lax',
    AIRLOCK__CORE__FERNET_KEY: 'hunter2',
  };
  const ini = { core: { multi_team: 'maybe' } };
  const place = (section: string, key: string) => `/etc/airlock.cfg, line 7 (${section}.${key})`;
  assert.throws(
    () => resolveConfig(from({ env, ini, place })),
    (error) => {
      assert.ok(isAppError(error, 'CONFIG_INVALID'));
      for (const part of [
        '[api] port is above 65535 (value "70000" from AIRLOCK__API__PORT; allowed: a whole number from 0 to 65535)',
        '[execution_api] rights_mode is none of auto, strict, airflow (value "lax" from AIRFLOW__EXECUTION_API__RIGHTS_MODE; allowed: one of auto, strict, airflow)',
        '[core] multi_team is neither true nor false (value "maybe" from /etc/airlock.cfg, line 7 (core.multi_team); allowed: true or false)',
        '(value < hidden > from AIRLOCK__CORE__FERNET_KEY; allowed: keys of 32 bytes',
      ])
        assert.ok(error.message.includes(part), error.message);
      assert.ok(!error.message.includes('hunter2'));
      return true;
    },
  );
});

test('A longer life of execution tokens than 300 s counts as 300 and warns; a shorter one than 30 s is refused', () => {
  const life = (text: string) => {
    const options = resolveAll(SECTIONS, from({ env: { AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME: text } }));
    const { value, warnings } = options.find((o) => o.section === 'execution_api' && o.key === 'jwt_expiration_time')!;
    return { value, warnings };
  };
  assert.deepEqual(life('300'), { value: 300, warnings: [] });
  assert.deepEqual(life('30'), { value: 30, warnings: [] });
  const long = life('600');
  assert.equal(long.value, 300);
  assert.match(long.warnings.join(), /is above 300, and counts as 300 \(value "600" from AIRFLOW__EXECUTION_API__/);
  for (const text of ['29', '0', '-600', '1e400', 'x']) assert.throws(() => life(text), { code: 'CONFIG_INVALID' });
});

test('A name of an older release counts and says what it is called now; the new one says nothing', () => {
  const warnings = (ini: ConfigSources['ini']) =>
    resolveAll(SECTIONS, from({ ini })).flatMap((option) => option.warnings);
  assert.deepEqual(warnings({ api: { port: '1' } }), []);
  assert.deepEqual(warnings({ webserver: { web_server_port: '1' } }), [
    'airlock.cfg [webserver] web_server_port: [webserver] web_server_port is now called [api] port.',
  ]);
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

test('What nothing reads is named with the option that was probably meant', () => {
  const ini = {
    api: { port: '1', prot: '2' },
    webserver: { web_server_port: '1' },
    core: { fernet_key_cmd: 'x', sql_alchemy_pool_size: '3' },
    smtp: { host_name_of_nothing: 'h' },
  };
  const env = {
    AIRLOCK__API__PORT: '1',
    AIRFLOW__CORE__FERNET_KEY_SECRET: 'x',
    AIRLOCK_DATABASE_URL: 'x',
    AIRFLOW__API__HOTS: 'x',
    AIRFLOW__API__PORT_CMD: 'x',
    UNRELATED__API__PROT: 'x',
  };
  assert.deepEqual(unknownOptions(SECTIONS, { ini, env }), [
    'airlock.cfg [api] prot: nothing reads [api] prot; did you mean [api] port?',
    'airlock.cfg [core] sql_alchemy_pool_size: nothing reads [core] sql_alchemy_pool_size; did you mean [database] sql_alchemy_pool_size?',
    'airlock.cfg [smtp] host_name_of_nothing: nothing reads [smtp] host_name_of_nothing.',
    'nothing reads the variable AIRFLOW__API__HOTS; did you mean AIRFLOW__API__HOST?',
    'nothing reads the variable AIRFLOW__API__PORT_CMD.',
  ]);
});

test('A variable that is handed on to Python is read there, and so is no unknown option', () => {
  const env = { AIRFLOW__LOGGING__REMOTE_LOGGING: 'True', AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID: 'logs' };
  const warned = unknownOptions(SECTIONS, { ini: {}, env }, ['AIRFLOW__LOGGING__REMOTE_LOGGING']);
  assert.deepEqual(warned.length, 1);
  assert.match(warned[0]!, /AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID/);
});

/** Each place in which a value may stand, for one option: variables of both prefixes, the file, commands and backends. */
function places(section: string, key: string, value: string): Array<Pick<ConfigSources, 'env' | 'ini'>> {
  const variable = `${section}__${key}`.toUpperCase();
  return ['', '_CMD', '_SECRET'].flatMap((suffix) => [
    { env: { [`AIRLOCK__${variable}${suffix}`]: value }, ini: {} },
    { env: { [`AIRFLOW__${variable}${suffix}`]: value }, ini: {} },
    { env: {}, ini: { [section]: { [key + suffix.toLowerCase()]: value } } },
  ]);
}

test('Each kind of process meets each sensitive option at each place: stray exactly when its row does not name the kind', () => {
  let refused = 0;
  let allowed = 0;
  for (const { section, key, row } of resolveAll(SECTIONS, from())) {
    for (const kind of PROCESS_KINDS) {
      const handsOver = kind === 'standalone' || kind === 'cli';
      const expected = row.sensitive === true && !row.readers.includes(kind) && !handsOver;
      for (const sources of places(section, key, 'planted')) {
        const strays = strayValues(kind, SECTIONS, sources);
        assert.equal(strays.length, expected ? 1 : 0, `${kind} [${section}] ${key} ${JSON.stringify(sources)}`);
        if (expected) refused += 1;
        else allowed += 1;
        if (expected)
          assert.ok(strays[0]!.what === `[${section}] ${key}` && !JSON.stringify(strays).includes('planted'));
      }
      for (const sources of places(section, key, '')) assert.deepEqual(strayValues(kind, SECTIONS, sources), []);
    }
  }
  assert.ok(refused > 40 && allowed > 40, `${refused} refused, ${allowed} allowed`);
});

test('A stray older or shorter name counts too, and so do sensitive variables that are no options', () => {
  const names = (kind: ProcessKind, env: Record<string, string>) =>
    strayValues(kind, SECTIONS, { env, ini: {} }).map(({ source }) => source);
  for (const name of ['AIRFLOW__CORE__SQL_ALCHEMY_CONN', 'AIRLOCK_DATABASE_URL']) {
    assert.deepEqual(names('supervisor', { [name]: 'x' }), [name]);
    assert.deepEqual(names('control', { [name]: 'x' }), []);
  }
  assert.deepEqual(names('supervisor', { AIRLOCK_ADMIN_PASSWORD: 'x' }), ['AIRLOCK_ADMIN_PASSWORD']);
  assert.deepEqual(names('control', { AIRLOCK_ADMIN_PASSWORD: 'x' }), []);
  assert.deepEqual(names('control', { AIRLOCK_TOKEN: 'x' }), ['AIRLOCK_TOKEN']);
  assert.deepEqual(names('cli', { AIRLOCK_TOKEN: 'x' }), []);
});

test('Variables of single arguments count over those of the JSON option; ours counts over the older one; none is shown', () => {
  const resolve = (env: Record<string, string>) => {
    const options = resolveAll(SECTIONS, from({ env }));
    return options.find(({ section, key }) => section === 'secrets' && key === 'backend_kwargs')!;
  };
  const base = { AIRFLOW__SECRETS__BACKEND_KWARGS: '{"url": "https://a", "token": "old", "timeout": 3}' };
  const option = resolve({
    ...base,
    AIRFLOW__SECRETS__BACKEND_KWARG__TOKEN: 'from-airflow',
    AIRLOCK__SECRETS__BACKEND_KWARG__TOKEN: '0123',
    AIRFLOW__SECRETS__BACKEND_KWARG__MOUNT_POINT: 'kv',
  });
  assert.deepEqual(JSON.parse(option.value as string), {
    url: 'https://a',
    token: '0123',
    timeout: 3,
    mount_point: 'kv',
  });
  assert.match(option.source, /^AIRFLOW__SECRETS__BACKEND_KWARGS, .*AIRLOCK__SECRETS__BACKEND_KWARG__TOKEN/);
  assert.equal(shownValue(option.value, option.row), HIDDEN);
  const alone = resolve({ AIRFLOW__SECRETS__BACKEND_KWARG__URL: 'https://b' });
  assert.deepEqual(JSON.parse(alone.value as string), { url: 'https://b' });
  // The controls: without such a variable nothing changes, and a name that is only the beginning of one means nothing.
  assert.equal(resolve(base).value, base.AIRFLOW__SECRETS__BACKEND_KWARGS);
  assert.equal(
    resolve({ AIRFLOW__SECRETS__BACKEND_KWARG__: 'x', AIRFLOW__CORE__BACKEND_KWARG__TOKEN: 'x' }).value,
    null,
  );
});

test('A variable of a single argument is known, and is stray wherever the whole option is', () => {
  for (const name of ['AIRFLOW__SECRETS__BACKEND_KWARG__TOKEN', 'AIRLOCK__SECRETS__BACKEND_KWARG__SECRET_ID']) {
    const sources = { env: { [name]: 'planted' }, ini: {} };
    assert.deepEqual(unknownOptions(SECTIONS, sources), []);
    for (const kind of ['token-service', 'supervisor', 'store'] as const)
      assert.deepEqual(
        strayValues(kind, SECTIONS, sources),
        [{ what: '[secrets] backend_kwargs', source: name }],
        kind,
      );
    for (const kind of ['control', 'standalone', 'cli'] as const)
      assert.deepEqual(strayValues(kind, SECTIONS, sources), [], kind);
  }
  const other = { env: { AIRFLOW__SECRETS__BACKEND_KWARGZ__TOKEN: 'x' }, ini: {} };
  assert.equal(unknownOptions(SECTIONS, other).length, 1);
});
