/**
 * Secrets stay where they belong: planted values, the installation's own keys and every token are looked for in all logs, in
 * the environments and command lines of all processes, in workloads and in files. Each search has a control that finds.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Database, sql } from '@airlock/store';
import { ask, logOf, resultOf, runEnd, trigger } from '../kit/api.ts';
import { databaseOf, joinAsSupervisor } from '../kit/inside.ts';
import { allProcesses, descendantsOf } from '../kit/processes.ts';
import { ADMIN_PASSWORD, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const plant = (what: string) => `planted-${what}-${randomBytes(12).toString('hex')}`;
const planted = {
  'password of a connection': plant('password'),
  'extra of a connection': plant('extra'),
  'value of a variable': plant('variable'),
};
/** Stands in everything that the tasks print, so that the search is seen to reach it. */
const CONTROL = plant('control');
/** header.payload.signature, as every token is. */
const TOKEN = /eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{20,}/;

const dags = `import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connection, dag, variable } from '@airlock/sdk';

const vault = connection('vault');
const pin = variable('secret_pin');
const read = (path: string) => { try { return readFileSync(path, 'latin1'); } catch (e) { return String(e); } };

export const leaks = dag('leaks', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', {
    needs: { vault, pin },
    run: async (_: Record<never, never>, { needs, log }) => {
      const secrets = [needs.vault.password!, JSON.stringify(needs.vault.extra), String(needs.pin)];
      for (const secret of secrets) {
        console.log('${CONTROL} printed: ' + secret);
        console.error('${CONTROL} on stderr: ' + secret);
        log.info('${CONTROL} logged: ' + secret, { field: secret });
        // In pieces, so that a line is never whole in one write.
        for (const piece of secret.match(/.{1,7}/gs) ?? []) process.stdout.write(piece);
        process.stdout.write('\\n');
      }
      return secrets.map((secret) => createHash('sha256').update(secret).digest('hex'));
    },
  })();
});

export const throwsIt = dag('throws_it', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', {
    needs: { vault },
    run: async (_: Record<never, never>, { needs }): Promise<number> => {
      throw new Error('${CONTROL} refused the password ' + needs.vault.password);
    },
  })();
});

export const looks = dag('looks_around', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', {
    run: async () => {
      const pids = readdirSync('/proc').filter((name) => /^\\d+$/.test(name));
      const about = (pid: string) => [read('/proc/' + pid + '/environ'), read('/proc/' + pid + '/cmdline')];
      return JSON.stringify({ env: process.env, argv: [process.argv, process.execArgv], processes: pids.map(about) });
    },
  })();
});

export const held = dag('held', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', { queue: 'nobody', needs: { vault, pin }, run: async () => 1 })();
});
`;

describe('secrets', () => {
  let airlock: Standalone;
  let db: Database;
  /** What must not be found anywhere: name → value. */
  const forbidden = new Map<string, string>(Object.entries(planted));

  before(async () => {
    airlock = await startStandalone({ dags: { 'leaks.ts': dags }, env: { AIRLOCK__WORKERS__QUEUES: 'typescript' } });
    db = databaseOf(airlock);
    await airlock.api('POST', '/api/v2/connections', {
      connection_id: 'vault',
      conn_type: 'http',
      host: 'vault.example',
      login: 'robot',
      password: planted['password of a connection'],
      extra: JSON.stringify({ api_token: planted['extra of a connection'] }),
    });
    await airlock.api('POST', '/api/v2/variables', { key: 'secret_pin', value: planted['value of a variable'] });
    for (const [name, value] of ownSecrets(join(airlock.home, 'keys'))) forbidden.set(name, value);
    forbidden.set('password of the administrator', ADMIN_PASSWORD);
    forbidden.set('token of the administrator', await airlock.token());
  });
  after(async () => {
    await db?.close();
    await airlock?.stop();
  });

  /** Each secret by every encoding in which a program is likely to write it down. */
  function found(text: string): string[] {
    const hits: string[] = [];
    for (const [name, value] of forbidden) {
      const forms = [value, encodeURIComponent(value), Buffer.from(value).toString('base64').replace(/=+$/, '')];
      if (forms.some((form) => text.includes(form))) hits.push(name);
    }
    if (TOKEN.test(text)) hits.push(`a token: ${TOKEN.exec(text)![0].slice(0, 20)}…`);
    return hits;
  }

  test('the search finds what is there: the control', () => {
    assert.deepEqual(found('nothing'), []);
    assert.ok(forbidden.size >= 7, [...forbidden.keys()].join(', '));
    for (const [name, value] of forbidden) assert.ok(found(`a ${value} b`).includes(name), name);
    assert.ok([...forbidden.keys()].some((name) => name.includes('signing')));
    assert.ok([...forbidden.keys()].some((name) => name.includes('postgres-airlock_control')));
  });

  test('a task gets the values that it declared, and its log shows none of them', async () => {
    const runId = await trigger(airlock, 'leaks');
    assert.equal(await runEnd(airlock, 'leaks', runId), 'success');
    const result = await resultOf(airlock, { dagId: 'leaks', runId, taskId: 't' });
    const digests = (typeof result === 'string' ? JSON.parse(result) : result) as string[];
    const sha = (text: string) => createHash('sha256').update(text).digest('hex');
    assert.equal(digests[0], sha(planted['password of a connection']), 'it had the real password');
    assert.equal(digests[2], sha(planted['value of a variable']));
    const text = JSON.stringify(await logOf(airlock, { dagId: 'leaks', runId, taskId: 't' }));
    assert.equal(text.split(`${CONTROL} printed`).length - 1, 3, 'all lines are there');
    assert.deepEqual(found(text), []);
    assert.ok(text.includes('***'), 'and say that something was masked');
  });

  test('an error that holds a secret is masked too', async () => {
    const runId = await trigger(airlock, 'throws_it');
    assert.equal(await runEnd(airlock, 'throws_it', runId), 'failed');
    const text = JSON.stringify(await logOf(airlock, { dagId: 'throws_it', runId, taskId: 't' }));
    assert.ok(text.includes(`${CONTROL} refused the password ***`), text);
    assert.deepEqual(found(text), []);
  });

  test('a task sees no secret in its environment, its command line, or those of any process that it can see', async () => {
    const runId = await trigger(airlock, 'looks_around');
    assert.equal(await runEnd(airlock, 'looks_around', runId), 'success');
    const seen = String(await resultOf(airlock, { dagId: 'looks_around', runId, taskId: 't' }));
    assert.ok(seen.includes('PATH'), 'it did look');
    assert.deepEqual(found(seen), []);
    assert.ok(!/AIRLOCK_|AIRFLOW_|postgresql:/.test(seen), seen.slice(0, 2000));
  });

  test('no log file holds a secret or a token, and the search reaches all of them', () => {
    const files = [...filesBelow(join(airlock.home, 'logs')), ...filesBelow(join(airlock.home, 'run'))].filter((path) =>
      path.endsWith('.log'),
    );
    assert.ok(files.length >= 4, files.join('\n'));
    let controls = 0;
    for (const path of files) {
      const text = readFileSync(path, 'utf8');
      if (text.includes(CONTROL)) controls++;
      assert.deepEqual(found(text), [], path);
    }
    assert.equal(controls, 2);
    assert.deepEqual(found(airlock.output()), []);
  });

  test('no file of the data folder but those in keys/ holds one: connections and variables are sealed at rest', () => {
    let controls = 0;
    for (const path of filesBelow(airlock.home)) {
      if (path.startsWith(join(airlock.home, 'keys'))) continue;
      const text = readFileSync(path, 'latin1');
      if (text.includes('vault.example')) controls++;
      assert.deepEqual(found(text), [], path);
    }
    assert.ok(controls > 0, 'the rest of the connection is in a file of the database');
  });

  test('the command line of no process on this machine holds a secret', () => {
    const all = allProcesses();
    assert.ok(
      all.some((one) => one.command.includes(airlock.home)),
      'the search reads command lines',
    );
    for (const one of all) assert.deepEqual(found(one.command), [], `${one.pid} ${one.command.slice(0, 200)}`);
  });

  test('the environment of no process that standalone started holds one', () => {
    const started = descendantsOf(airlock.pid);
    let readable = 0;
    for (const { pid, command } of started) {
      let text: string;
      try {
        text = readFileSync(`/proc/${pid}/environ`, 'latin1');
      } catch {
        continue; // it has closed its memory to us, or is gone
      }
      if (text.includes('PATH=')) readable++;
      assert.deepEqual(found(text), [], command);
    }
    assert.ok(readable >= 1, 'the search reads environments');
    const own = readFileSync(`/proc/${airlock.pid}/environ`, 'latin1');
    assert.ok(found(own).includes('password of the administrator'), 'it would find what somebody puts there');
  });

  test('a workload holds one token, its own, and no secret of what it will need', async () => {
    const supervisor = await joinAsSupervisor(airlock, db);
    await trigger(airlock, 'held');
    const { token, ...rest } = await supervisor.claim('nobody');
    assert.match(token, TOKEN);
    assert.deepEqual(found(JSON.stringify(rest)), []);
    assert.ok(JSON.stringify(rest.airlock).includes('vault'), 'it names the connection');
    const stored = await waitFor('the claimed row', () =>
      db.query<{ row: string }>(sql`SELECT t::text AS row FROM task_instance t`),
    );
    assert.deepEqual(found(JSON.stringify(stored)), [], 'and none lies in the database');
  });

  test('the REST API shows a connection without its password', async () => {
    const { status, text } = await ask(airlock, 'GET', '/api/v2/connections/vault');
    assert.equal(status, 200);
    assert.ok(text.includes('vault.example'));
    assert.deepEqual(found(text), []);
  });
});

/** The installation's own secrets: name of the file → what in it is secret. */
function ownSecrets(keys: string): Map<string, string> {
  const secrets = new Map<string, string>();
  for (const path of filesBelow(keys)) {
    const text = readFileSync(path, 'utf8').trim();
    const name = path.slice(keys.length + 1);
    let value = text;
    try {
      // A key file as JSON Web Key: `d` is the private part, the rest is public.
      const jwk = JSON.parse(text) as { d?: unknown; keys?: { d?: unknown }[] };
      value = String(jwk.d ?? jwk.keys?.[0]?.d);
    } catch {
      const pem = /-----BEGIN [^-]*PRIVATE KEY-----\s+([\s\S]+?)\s+-----END/.exec(text);
      if (pem) value = pem[1]!.replaceAll('\n', '');
    }
    if (value.length >= 16) secrets.set(name, value);
  }
  return secrets;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}
