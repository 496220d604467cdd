/** `airlock import airflow` against a real API: exports that a real Airflow 3.3.2 wrote, and a running server as the source. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RestKit, restKit } from '../../control/test/rest-kit.ts';
import { createClient, targetOf } from '../src/client.ts';
import { CliError } from '../src/exit-codes.ts';
import { createOutput } from '../src/output.ts';
import { createProgram } from '../src/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'airlock-import-'));
let kit: RestKit;
before(async () => {
  kit = await restKit();
});
after(async () => {
  await kit[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const given = (name: string) => fileURLToPath(new URL(`data/airflow-export/${name}.json`, import.meta.url));
const file = (name: string, content: unknown): string => {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};

type Ended = { readonly status: number; readonly out: string; readonly err: string };
async function run(role: 'viewer' | 'op', args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const token = await kit.tokenOf(role);
  const said = { out: '', err: '' };
  const stream = (to: 'out' | 'err') =>
    ({
      write: (text: string) => {
        said[to] += text;
        return true;
      },
    }) as never;
  const program = createProgram(
    {
      env,
      home: folder,
      output: createOutput(stream('out'), stream('err'), {}),
      stdin: Readable.from([]),
      client: () => createClient(targetOf(kit.base, token, '')),
      becomeKeysTool: () => assert.fail('became the tool of keys'),
      nowMs: () => 0,
      pause: async () => undefined,
    },
    '0',
  );
  const error = await program.parseAsync(['node', 'airlock', 'import', 'airflow', ...args]).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error !== null && !(error instanceof CliError)) throw error;
  if (error) said.err += `${error.message}\n`;
  return { status: error?.exitCode ?? 0, ...said };
}
const variable = async (key: string) => (await kit.as.op('GET', `/variables/${key}`)).body.value ?? null;
const names = async (path: string, list: string, member: string) =>
  (await kit.as.op('GET', path)).body[list].map((each: Record<string, unknown>) => each[member]).sort();
const everything = [
  '--variables',
  given('variables'),
  '--connections',
  given('connections'),
  '--pools',
  given('pools'),
];

test('a dry run says what would be made, and makes nothing', async () => {
  const { status, out } = await run('op', [...everything, '--dry-run']);
  assert.equal(status, 0);
  assert.match(out, /WOULD CREATE/);
  assert.match(out, /variables +3 +0 +0 +0/);
  assert.deepEqual(await names('/variables', 'variables', 'key'), []);
});

test('whoever may not write them is refused, and nothing is made', async () => {
  assert.equal((await run('viewer', everything)).status, 4);
  assert.deepEqual(await names('/pools', 'pools', 'name'), ['default_pool']);
});

test("a real Airflow's exports are taken over whole, secrets too, and a second time skipped", async () => {
  const first = await run('op', everything);
  assert.equal(first.status, 0, first.err);
  assert.match(first.out, /pools +1 +0 +1 +0/);
  assert.deepEqual(await names('/variables', 'variables', 'key'), ['num', 'obj', 'plain']);
  const plain = (await kit.as.op('GET', '/variables/plain')).body;
  assert.deepEqual([plain.value, plain.description], ['text é', 'what it is']);
  assert.equal((await kit.as.op('GET', '/variables/num')).body.value, '12');
  const { body: db } = await kit.as.op('GET', '/connections/db');
  assert.deepEqual([db.host, db.login, db.port, db.schema, db.password], ['h', 'u', 5432, 's', '***']);
  assert.equal(db.extra, '{"sslmode": "require"}');
  assert.equal((await kit.as.op('GET', '/connections/bare')).body.password, null); // control
  const { body: etl } = await kit.as.op('GET', '/pools/etl');
  assert.deepEqual([etl.slots, etl.description, etl.include_deferred], [5, 'for etl', true]);
  const again = await run('op', [...everything, '--json']);
  const reports = JSON.parse(again.out) as Array<{ created: string[]; skipped: string[] }>;
  assert.deepEqual(
    reports.map(({ created, skipped }) => [created.length, skipped.length]),
    [
      [0, 2],
      [0, 3],
      [0, 2],
    ],
  );
});

test('names that are taken are overwritten, or stop everything of their kind, when that is asked for', async () => {
  const path = file('v.json', { plain: 'new', fresh: '1' });
  const stopped = await run('op', ['--variables', path, '--on-existing', 'fail']);
  assert.deepEqual([stopped.status, await variable('fresh')], [1, null]);
  assert.match(stopped.err, /1 variables exist already: plain/);
  assert.equal((await run('op', ['--variables', path, '--on-existing', 'overwrite'])).status, 0);
  assert.equal((await kit.as.op('GET', '/variables/plain')).body.value, 'new');
  const pools = file('p.json', [{ name: 'default_pool', slots: 7, description: 'x', include_deferred: true }]);
  assert.equal((await run('op', ['--pools', pools, '--on-existing', 'overwrite'])).status, 0);
  const { body } = await kit.as.op('GET', '/pools/default_pool');
  assert.deepEqual([body.slots, body.include_deferred, body.description === 'x'], [7, true, false]);
});

test('one thing that is refused does not hold up the others, and is named with the reason', async () => {
  const connections = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`c${n}`, { conn_type: 'http' }]));
  const path = file('c.json', { ...connections, 'with space': { conn_type: 'http' }, odd: 'http://in-a-uri' });
  const { status, err, out } = await run('op', ['--connections', path]);
  assert.equal(status, 1);
  assert.match(out, /connections +150 +0 +0 +2/);
  assert.match(err, /connections with space: not imported: .*pattern/);
  assert.match(err, /connections odd: not imported: it is no object/);
});

test('values from the tables of Airflow are opened by its key, and without one are left', async () => {
  const KEY = '2IyYX9yZHQHxHTyYvt72pQwkwChvVHO7O644jPdtVzc=';
  const SEALED = 'gAAAAABrCKC5tT8rZrINjTu9RxJ0R61Lhyur793xrZ2KfkfX2HI1LI-5WWDWHAL4xYTLSeYdmnoNvTZIdMtszXTeIhV7psdJGg==';
  const path = file('sealed.json', { sealed: SEALED });
  const without = await run('op', ['--variables', path]);
  assert.deepEqual([without.status, await variable('sealed')], [1, null]);
  assert.match(without.err, /sealed: not imported: it is encrypted, and none of the given keys opens it/);
  const other = file('other', Buffer.alloc(32, 3).toString('base64url'));
  assert.equal((await run('op', ['--variables', path, '--fernet-key-file', other])).status, 1);
  assert.equal((await run('op', ['--variables', path, '--fernet-key-file', file('bad', 'no key')])).status, 2);
  const keys = file('keys', `${Buffer.alloc(32, 3).toString('base64url')},${KEY}\n`);
  const { status, out, err } = await run('op', ['--variables', path, '--fernet-key-file', keys]);
  assert.equal(status, 0, err);
  assert.equal((await kit.as.op('GET', '/variables/sealed')).body.value, 'text é');
  assert.ok(!`${out}${err}`.includes('text é'), 'values are not shown');
});

test('from a running server everything comes but what it masks, which is named', async () => {
  await using airflow = await restKit();
  for (let n = 0; n < 120; n++) await airflow.as.op('POST', '/variables', { key: `far${n}`, value: n });
  await airflow.as.op('POST', '/variables', { key: 'far_password', value: 'hidden' });
  const extra = JSON.stringify({ region: 'eu', secret_key: 'hidden' });
  const far = { connection_id: 'far', conn_type: 'aws', login: 'l', password: 'hidden', extra };
  await airflow.as.op('POST', '/connections', far);
  const token = await airflow.tokenOf('op');
  assert.equal((await run('op', ['--from', airflow.base], { AIRFLOW_TOKEN: 'wrong' })).status, 4);
  const { status, err } = await run('op', ['--from', airflow.base], { AIRFLOW_TOKEN: token });
  assert.equal(status, 1);
  assert.equal(await variable('far_password'), null);
  assert.match(err, /variables far_password: not imported: Airflow shows it masked/);
  assert.match(err, /connections far: imported without: password: Airflow shows it masked/);
  assert.match(err, /connections far: imported without: extra secret_key: Airflow shows it masked/);
  const { body } = await kit.as.op('GET', '/connections/far');
  assert.deepEqual([body.login, body.password, body.extra], ['l', null, '{"region": "eu"}']);
  assert.equal((await kit.as.op('GET', '/variables?variable_key_prefix_pattern=far')).body.total_entries, 120);
});

test('what is no export, and nothing at all, is wrong usage', async () => {
  for (const content of ['{', '[1]', '"text"', 'null'])
    assert.equal((await run('op', ['--variables', file('bad.json', content)])).status, 2, content);
  assert.equal((await run('op', ['--variables', join(folder, 'none.json')])).status, 2);
  assert.equal((await run('op', [])).status, 2);
});
