/** Starts that can't succeed: status 2, one code, one sentence, one remedy, and nothing left behind. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runEnd, trigger } from '../kit/api.ts';
import { fakePostgres } from '../kit/old-postgres.ts';
import { processesNaming } from '../kit/processes.ts';
import { refusedStart, type Standalone, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { waitFor } from '../kit/wait.ts';

const CANNOT_START = 2;
/** A user that owns nothing. */
const STRANGER = 1_999_902;

/** Starts in `home` and compares all that it says. */
async function refuses(
  options: Parameters<typeof refusedStart>[0],
  expected: { code: string; says: RegExp; remedy: string },
): Promise<void> {
  const { status, stdout, stderr } = await refusedStart(options);
  const lines = stderr.trimEnd().split('\n');
  assert.equal(status, CANNOT_START, stdout + stderr);
  assert.match(lines[0]!, new RegExp(`^${expected.code}: `));
  assert.match(lines[0]!, expected.says);
  assert.equal(lines[1], expected.remedy);
  assert.equal(lines.length, 2, `an expected failure needs no stack:\n${stderr}`);
  assert.ok(!stdout.includes('healthy'), stdout);
}

describe('a start that can not succeed', () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone({
      dags: {
        'one.ts': `import { dag } from '@airlock/sdk';
export default dag('one', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', { run: async () => 1 })();
});\n`,
      },
    });
  });
  after(async () => {
    await airlock.stop();
  });
  /** Nothing of a refused start runs on. */
  const nothingRuns = (home: string) =>
    waitFor('nothing of it runs', () => processesNaming(home).length === 0, { timeoutMs: 10_000 });

  test('a second standalone on the same data folder is refused, names the first, and the first goes on', async () => {
    await refuses(
      { home: airlock.home },
      {
        code: 'HOME_IN_USE',
        says: new RegExp(`Another standalone \\(process ${airlock.pid}\\) uses the data folder ${airlock.home}\\.$`),
        remedy: 'Stop the other standalone, or set another AIRLOCK_HOME.',
      },
    );
    assert.equal(await runEnd(airlock, 'one', await trigger(airlock, 'one')), 'success');
  });

  test('a port that another program listens on is refused before anything is made', async () => {
    using home = tempHome();
    const port = new URL(airlock.url).port;
    await refuses(
      { home: home.path, env: { AIRLOCK__API__PORT: port } },
      {
        code: 'PORT_IN_USE',
        says: new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is in use by another program\\.$`),
        remedy: 'Stop the other program, or set [api] port.',
      },
    );
    await nothingRuns(home.path);
  });

  test('a data folder that can not be written is refused, and named', async () => {
    using home = tempHome();
    const folder = join(home.path, 'inner');
    if (process.getuid!() === 0) {
      // Root may write everywhere: a stranger is sent.
      mkdirSync(folder, { mode: 0o755 });
      await refuses({ home: folder, runAs: STRANGER }, unwritable(folder));
    } else {
      mkdirSync(folder, { mode: 0o555 });
      await refuses({ home: folder }, unwritable(folder));
    }
    await nothingRuns(home.path);
  });
  const unwritable = (folder: string) => ({
    code: 'HOME_UNWRITABLE',
    says: new RegExp(`The folder ${folder}/keys can't be made or written: `),
    remedy: 'Make the folder writable, or set AIRLOCK_HOME.',
  });

  test('a PostgreSQL that does not answer is refused, and its password is not shown', async () => {
    using home = tempHome();
    // A port that was free a moment ago.
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    await refuses(
      {
        home: home.path,
        env: {
          AIRLOCK__DATABASE__SQL_ALCHEMY_CONN: `postgresql+psycopg2://me:planted-secret@127.0.0.1:${port}/airflow`,
        },
      },
      {
        code: 'DB_UNREACHABLE',
        says: new RegExp(`The database can't be reached: (?!.*planted-secret).*ECONNREFUSED.*127\\.0\\.0\\.1:${port}`),
        remedy: 'Start PostgreSQL, or correct [database] sql_alchemy_conn.',
      },
    );
    await nothingRuns(home.path);
  });

  test('a PostgreSQL before 14 is refused, with both versions', async () => {
    using home = tempHome();
    await using server = await fakePostgres(130_014);
    await refuses(
      { home: home.path, env: { AIRLOCK_DATABASE_URL: `postgresql://me:secret@127.0.0.1:${server.port}/airlock` } },
      {
        code: 'DB_TOO_OLD',
        says: /The database is PostgreSQL 13\.14, and Airlock needs 14 or newer\.$/,
        remedy: 'Use PostgreSQL 14 or newer.',
      },
    );
    await nothingRuns(home.path);
  });

  test('another kind of database is refused by its name alone', async () => {
    using home = tempHome();
    await refuses(
      { home: home.path, env: { AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: 'mysql://me:planted-secret@db/airflow' } },
      {
        code: 'DB_DIALECT',
        says: /Airlock keeps its data in PostgreSQL, and \[database\] sql_alchemy_conn is mysql:\/\/ \(value < hidden > from AIRFLOW__DATABASE__SQL_ALCHEMY_CONN; allowed: a postgresql:\/\/ address, or nothing\)\.$/,
        remedy: 'Use a postgresql:// address.',
      },
    );
    await nothingRuns(home.path);
  });

  test('a wrong value in the configuration is refused, and named', async () => {
    using home = tempHome();
    await refuses(
      { home: home.path, env: { AIRLOCK__API__PORT: 'eighty' } },
      {
        code: 'CONFIG_INVALID',
        says: /AIRLOCK__API__PORT|\[api\] port/,
        remedy: 'Correct the option that the message names.',
      },
    );
    await nothingRuns(home.path);
  });
});
