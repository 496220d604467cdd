import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ADMIN_PASSWORD, repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const DAG = `import { dag } from '@airlock/sdk';
export default dag('greeting', { schedule: null, startDate: '2026-01-01', params: { fail: false } }, (d) => {
  d.task('say', { run: async (_: {}, { log, params }) => {
    log.info('good morning');
    if (params.fail) throw new Error('asked to fail');
    return { words: 2 };
  } })();
});`;
const PASSWORD = 'a password for viewers';

describe('the command line against a real server', () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone({ dags: { 'greeting.ts': DAG } });
    await waitFor('the Dag is known', () => airlock.api('GET', '/api/v2/dags/greeting'));
  });
  after(async () => {
    await airlock.stop();
  });
  /** Runs a command; `input` is its standard input. */
  const cli = (args: readonly string[], input = '', env: Record<string, string> = {}) =>
    spawnSync(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), ...args], {
      input,
      encoding: 'utf8',
      timeout: 60_000,
      env: { PATH: process.env.PATH ?? '', HOME: airlock.home, AIRLOCK_HOME: airlock.home, ...env },
    });
  const remote = (...args: string[]) => cli(['--url', airlock.url, ...args], '', { AIRLOCK_HOME: '/nowhere' });

  test('starts a run, waits for it, and reads its log and its result', () => {
    const run = cli(['dags', 'trigger', 'greeting', '--run-id', 'first', '--wait']);
    assert.equal(run.status, 0, run.stderr);
    assert.match(cli(['tasks', 'logs', 'greeting', 'first', 'say']).stdout, /good morning/);
    assert.deepEqual(JSON.parse(cli(['tasks', 'xcom', 'greeting', 'first', 'say', '--key', 'return_value']).stdout), {
      words: 2,
    });
    assert.match(cli(['runs', 'list', 'greeting']).stdout, /first +success/);
  });

  test('ends with 1 when the run failed, and says how to read its log', () => {
    const run = cli(['dags', 'trigger', 'greeting', '--conf', '{"fail": true}', '--wait']);
    assert.equal(run.status, 1);
    assert.match(run.stderr, /airlock tasks logs greeting .* say/);
  });

  test('ends with 5 for a Dag that does not exist, and with 2 for a wrong option', () => {
    assert.equal(cli(['dags', 'show', 'absent']).status, 5);
    assert.equal(cli(['dags', 'list', '--absent']).status, 2);
  });

  test('makes a user, who then logs in from elsewhere and may do what the role allows', () => {
    assert.equal(cli(['users', 'create', 'vera', '--role', 'viewer', '--password-stdin'], `${PASSWORD}\n`).status, 0);
    assert.equal(remote('dags', 'list').status, 4, 'not without a log-in');
    const wrong = cli(['--url', airlock.url, 'login', '--user', 'vera', '--password-stdin'], 'not the password\n');
    assert.equal(wrong.status, 4);
    const login = cli(['--url', airlock.url, 'login', '--user', 'vera', '--password-stdin'], `${PASSWORD}\n`);
    assert.equal(login.status, 0, login.stderr);
    assert.equal(remote('dags', 'list').status, 0);
    assert.equal(remote('dags', 'trigger', 'greeting').status, 4, 'a viewer starts no runs');
    assert.equal(cli(['users', 'role', 'vera', 'user']).status, 0);
    assert.equal(remote('dags', 'trigger', 'greeting').status, 0, 'the new role counts at once');
    assert.equal(cli(['users', 'disable', 'vera']).status, 0);
    assert.equal(remote('dags', 'list').status, 4);
  });

  test('ends what a user has: by enabling only anew, by revoking, by a new password, by deleting', () => {
    const login = (password = PASSWORD) =>
      cli(['--url', airlock.url, 'login', '--user', 'walt', '--password-stdin'], `${password}\n`).status;
    const ok = (...args: string[]) => assert.equal(cli(['users', ...args], `${PASSWORD}\n`).status, 0, args.join(' '));
    ok('create', 'walt', '--role', 'viewer', '--password-stdin');
    for (const [verb, ...options] of [['disable'], ['revoke'], ['reset-password', '--password-stdin']] as const) {
      assert.equal(login(), 0);
      assert.equal(remote('dags', 'list').status, 0);
      ok(verb, 'walt', ...options);
      assert.equal(remote('dags', 'list').status, 4, verb);
      if (verb !== 'disable') continue;
      assert.equal(login(), 4);
      ok('enable', 'walt');
      assert.equal(remote('dags', 'list').status, 4, 'the token of before stays without power');
    }
    assert.equal(login(), 0);
    ok('delete', 'walt');
    assert.equal(remote('dags', 'list').status, 4);
    assert.equal(login(), 4);
    assert.equal(cli(['users', 'delete', 'walt']).status, 5);
  });

  test('keeps the last administrator, and says what to do instead', () => {
    for (const [verb, ...to] of [['disable'], ['delete'], ['role', 'op']] as const) {
      const refused = cli(['users', verb, 'admin', ...to]);
      assert.notEqual(refused.status, 0, verb);
      assert.match(refused.stderr, /last user who can administer[\s\S]*another user the role admin/);
    }
    assert.equal(cli(['users', 'role', 'admin', 'admin']).status, 0); // control
  });

  test('refuses a short password and a role that does not exist', () => {
    assert.equal(cli(['users', 'create', 'bob', '--role', 'op', '--password-stdin'], 'short\n').status, 1);
    assert.equal(cli(['users', 'create', 'bob', '--role', 'king', '--password-stdin'], `${PASSWORD}\n`).status, 2);
    assert.doesNotMatch(cli(['users', 'list']).stdout, /bob/);
  });

  test('the commands of operators are closed to a token, even the administrator’s', () => {
    const token = cli(['--url', airlock.url, 'login', '--user', 'admin', '--password-stdin'], `${ADMIN_PASSWORD}\n`);
    assert.equal(token.status, 0);
    assert.notEqual(remote('users', 'list').status, 0);
    assert.equal(cli(['users', 'list']).status, 0);
  });

  test('tells health, keys and version', () => {
    assert.equal(cli(['health']).status, 0);
    const keys = JSON.parse(cli(['jwks']).stdout) as { keys: Array<Record<string, unknown>> };
    assert.equal(keys.keys[0]?.kty, 'OKP');
    assert.ok(!('d' in keys.keys[0]!), 'no private part');
    assert.match(cli(['version']).stdout, /Airflow 3\.3\.2/);
  });

  test('shows where a value comes from, and a secret only when asked', () => {
    const secret = 'very-secret-value'.padEnd(43, '0');
    const env = { AIRLOCK__CORE__PARALLELISM: '7', AIRLOCK__CORE__FERNET_KEY: secret };
    assert.match(
      cli(['config', 'list', '--changed'], '', env).stdout,
      /\[core\] parallelism +7 .*AIRLOCK__CORE__PARALLELISM/,
    );
    assert.doesNotMatch(cli(['config', 'list'], '', env).stdout, /very-secret/);
    assert.equal(cli(['config', 'get', 'core', 'fernet_key'], '', env).status, 1);
    assert.equal(cli(['config', 'get', 'core', 'fernet_key', '--reveal'], '', env).stdout, `${secret}\n`);
    const wrong = cli(['config', 'validate'], '', { AIRLOCK__CORE__PARALLELISM: 'many' });
    assert.equal(wrong.status, 1);
    assert.match(
      wrong.stderr,
      /\[core\] parallelism is not a number \(value "many" from AIRLOCK__CORE__PARALLELISM; allowed: a whole number/,
    );
    const odd = cli(['config', 'validate'], '', {
      AIRLOCK__CORE__PARALELISM: '7',
      AIRFLOW__CORE__SQL_ALCHEMY_CONN: '',
    });
    assert.equal(odd.status, 0);
    assert.match(odd.stderr, /AIRLOCK__CORE__PARALELISM; did you mean AIRLOCK__CORE__PARALLELISM\?/);
    assert.match(odd.stderr, /\[core\] sql_alchemy_conn is now called \[database\] sql_alchemy_conn/);
  });
});
