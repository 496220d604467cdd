/**
 * Secrets that are declared and printed in every encoding, looked for wherever people can read what became of a run. Each sink holds
 * a control that must be found there. The result of a task is its author's own data, and shows that the task had the secrets.
 * @see promise L21
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Database, raw, sql } from '@airlock/store';
import { ENCODINGS } from '../fixtures/encodings.ts';
import { ask, resultOf, runEnd, runPath, trigger } from '../kit/api.ts';
import { databaseOf } from '../kit/inside.ts';
import { allProcesses } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const random = () => randomBytes(9).toString('hex');
/** With characters that every encoding writes in its own way. */
const plant = (what: string) => `${what}"it's/<${random()}>&+ö\\ =${random()}`;
const SECRETS: Readonly<Record<string, string>> = {
  'password of a connection': plant('pw'),
  'member of its extra': plant('extra'),
  'inner member of its extra': plant('inner'),
  'variable by its name': plant('variable'),
  'text in a variable with JSON': plant('json'),
};
const CONTROL = `control-${random()}`;

const dags = `import { callback, connection, dag, variable } from '@airlock/sdk';
import { printed } from './encodings.ts';

const needs = { vault: connection('vault'), pin: variable('secret_pin'), settings: variable('service_password') };
type Needs = { vault: { password?: string | null; extra: any }; pin: unknown; settings: unknown };
const secretsOf = ({ vault, pin, settings }: Needs): string[] => {
  const inner = typeof settings === 'string' ? JSON.parse(settings) : settings;
  return [vault.password!, vault.extra.api_token, vault.extra.more_token.list[0], String(pin), inner.key];
};
const all = (needs: unknown) => secretsOf(needs as Needs).map(printed).join('\\n');
const say = (where: string, needs: unknown) => '${CONTROL} ' + where + '\\n' + all(needs);

export default dag('leaks', {
  schedule: null, startDate: '2026-01-01', paused: false,
  onFailure: callback({
    needs,
    run: ({ needs }) => {
      console.log(say('printed by the callback', needs));
      throw new Error(say('thrown by the callback', needs));
    },
  }),
}, (d) => {
  const value = d.task('gives', {
    needs,
    run: async (_: Record<never, never>, { needs, log }) => {
      console.log(say('stdout', needs));
      console.error(say('stderr', needs));
      const lines = all(needs).split('\\n');
      log.info('${CONTROL} event ' + lines.join(' '), { control: '${CONTROL} field', lines, [lines[0]!]: { deep: [lines] } });
      return lines;
    },
  })();
  const shown = d.task('shows', {
    needs,
    run: async ({ value }: { value: string[] }) => value.length,
  })({ value, control: '${CONTROL} input' } as never);
  d.task('throws', {
    needs,
    retries: 1,
    retryDelay: '100ms',
    run: async (_: Record<never, never>, { needs }): Promise<number> => {
      throw new Error(say('thrown', needs), { cause: new TypeError(say('cause', needs)) });
    },
  })().after(shown);
});
`;

/** What gives a secret away, by encoding. */
function hitsIn(text: string): string[] {
  return Object.entries(SECRETS).flatMap(([name, secret]) =>
    Object.entries(ENCODINGS)
      .filter(([, { print, core = (text: string) => text }]) => text.includes(core(print(secret))))
      .map(([encoding]) => `${name}, ${encoding}`),
  );
}
/** Texts inside JSON are looked at as they are meant, and as they were sent. */
function textsOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textsOf).join('\n');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, inner]) => `${name}\n${textsOf(inner)}`)
    .join('\n');
}
const PAIRS = Object.keys(SECRETS).length * Object.keys(ENCODINGS).length;

describe('masking', () => {
  let airlock: Standalone;
  let db: Database;
  let runId: string;
  let sinks = 0;

  /** @param controls what must be found there */
  function clean(sink: string, controls: readonly (string | RegExp)[], ...texts: string[]): void {
    for (const text of texts) {
      for (const control of controls)
        assert.ok(
          typeof control === 'string' ? text.includes(control) : control.test(text),
          `${sink}: no ${control}\n${text.slice(0, 3000)}`,
        );
      assert.deepEqual(hitsIn(text), [], sink);
    }
    sinks++;
  }
  /** As it was sent, and what it means. */
  const read = async (path: string): Promise<[string, string]> => {
    const { status, text, json } = await ask(airlock, 'GET', path);
    assert.equal(status, 200, text);
    return [text, textsOf(json)];
  };

  before(async () => {
    const value = (name: string) => SECRETS[name]!;
    airlock = await startStandalone({
      dags: { 'leaks.ts': dags },
      dagFiles: [join(import.meta.dirname, '../fixtures/encodings.ts')],
    });
    db = databaseOf(airlock);
    const inner = { list: [value('inner member of its extra')] };
    const extra = { api_token: value('member of its extra'), more_token: inner };
    await airlock.api('POST', '/api/v2/connections', {
      connection_id: 'vault',
      conn_type: 'http',
      host: CONTROL,
      password: value('password of a connection'),
      extra: JSON.stringify(extra),
    });
    await airlock.api('POST', '/api/v2/variables', {
      key: 'secret_pin',
      value: value('variable by its name'),
      description: CONTROL,
    });
    await airlock.api('POST', '/api/v2/variables', {
      key: 'service_password',
      value: JSON.stringify({ user: 'reader', key: value('text in a variable with JSON') }),
    });
    runId = await trigger(airlock, 'leaks');
    assert.equal(await runEnd(airlock, 'leaks', runId), 'failed');
  });
  after(async () => {
    await db?.close();
    await airlock?.stop();
  });

  test('the task had them, and the search finds each in each encoding: the control', async (t) => {
    const result = await resultOf(airlock, { dagId: 'leaks', runId, taskId: 'gives' });
    const hits = hitsIn(textsOf(typeof result === 'string' ? JSON.parse(result) : result));
    assert.equal(hits.length, PAIRS, hits.join('\n'));
    assert.ok(Object.keys(ENCODINGS).length >= 14);
    t.diagnostic(`L21: ${Object.keys(ENCODINGS).length} encodings of ${Object.keys(SECRETS).length} secrets`);
  });

  test('the log of a try: standard output, standard error, the logger with its fields', async () => {
    const texts = await read(`${runPath('leaks', runId)}/taskInstances/gives/logs/1?full_content=true`);
    for (const where of ['stdout', 'stderr', 'event', 'field'])
      clean(`log, ${where}`, [`${CONTROL} ${where}`, '***'], ...texts);
  });

  test('the error that ended a try, its causes and its stack', async () => {
    for (const tryNumber of [1, 2]) {
      const texts = await read(`${runPath('leaks', runId)}/taskInstances/throws/logs/${tryNumber}?full_content=true`);
      clean(
        `error of try ${tryNumber}`,
        [`${CONTROL} thrown`, `${CONTROL} cause`, /\n {4}at |\\n {4}at /, '***'],
        ...texts,
      );
    }
  });

  test('the input that is shown of a task', async () => {
    const texts = await read(`${runPath('leaks', runId)}/taskInstances/shows`);
    clean('rendered fields', ['rendered_fields', '***'], ...texts);
  });

  test('the message and the output of a callback', async () => {
    type Callbacks = { callbacks: { state: string; message: string | null; output: string | null }[] };
    const path = `${runPath('leaks', runId)}/callbacks`;
    const [callback] = await waitFor('the callback has ended', async () => {
      const { callbacks } = await airlock.api<Callbacks>('GET', path);
      return callbacks.some(({ state }) => state === 'failed') ? callbacks : null;
    });
    clean('message of a callback', [`${CONTROL} thrown by the callback`, '***'], callback!.message!);
    clean('output of a callback', [`${CONTROL} printed by the callback`, '***'], callback!.output!);
  });

  test('what is shown of connections and variables', async () => {
    clean(
      'connections',
      [CONTROL, '***'],
      ...(await read('/api/v2/connections')),
      ...(await read('/api/v2/connections/vault')),
    );
    clean(
      'variables',
      ['secret_pin', '***'],
      ...(await read('/api/v2/variables')),
      ...(await read('/api/v2/variables/secret_pin')),
    );
  });

  test('refusals of requests that hold them', async () => {
    const password = SECRETS['password of a connection']!;
    const extra = JSON.stringify({ api_token: SECRETS['member of its extra'] });
    const pin = SECRETS['variable by its name']!;
    const texts: string[] = [];
    const refused = async (method: string, path: string, status: number, body: unknown, text?: string) => {
      const answer = await ask(airlock, method, path, text === undefined ? { body } : { raw: text });
      assert.equal(answer.status, status, `${path} ${answer.text}`);
      texts.push(answer.text, textsOf(answer.json));
    };
    const connection = { connection_id: 'vault', conn_type: 'http', password, extra };
    await refused('POST', '/api/v2/connections', 409, connection);
    await refused('POST', '/api/v2/connections', 422, { ...connection, port: 'no number' });
    await refused('POST', '/api/v2/connections', 422, { ...connection, conn_type: undefined });
    await refused('POST', '/api/v2/connections', 422, { ...connection, password: { password } });
    await refused('PATCH', '/api/v2/connections/vault', 422, { ...connection, conn_type: ['http'] });
    await refused('POST', '/api/v2/variables', 409, { key: 'secret_pin', value: pin });
    await refused('POST', '/api/v2/variables', 422, { key: 'secret_pin', value: pin, description: ['text'] });
    await refused('POST', '/api/v2/variables', 422, null, `{"key": "secret_pin", "value": ${JSON.stringify(pin)}`);
    await refused('POST', '/auth/token', 401, { username: 'admin', password: pin });
    clean('refusals', ['detail'], texts.join('\n'));
  });

  test('the audit log', async () => {
    const actions = [{ action: 'update', entities: [{ key: 'secret_pin', value: SECRETS['variable by its name'] }] }];
    await airlock.api('PATCH', '/api/v2/variables', { actions });
    const password = SECRETS['password of a connection'];
    await airlock.api('PATCH', '/api/v2/connections/vault', { connection_id: 'vault', conn_type: 'http', password });
    clean(
      'audit log',
      ['post_connection', 'patch_connection', 'secret_pin', '***'],
      ...(await read('/api/v2/eventLogs?limit=1000')),
    );
  });

  test('the output, log files and command lines of all processes', () => {
    clean('output of standalone', ['healthy'], airlock.output());
    const logs = readdirSync(join(airlock.home, 'logs'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.log'),
    );
    const files = logs.map((name) => readFileSync(join(airlock.home, 'logs', name), 'utf8'));
    clean('log files', [CONTROL, '***'], files.join('\n'));
    clean(
      'command lines',
      [airlock.home],
      allProcesses()
        .map(({ command }) => command)
        .join('\n'),
    );
  });

  test('every table of the database but results, also the reason of a retry', async () => {
    const tables = await db.query<{ name: string }>(sql`
      SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'xcom'`);
    const rows: string[] = [];
    for (const { name } of tables) {
      const found = await db.query<{ row: unknown }>(sql`SELECT row_to_json(t) AS row FROM ${raw(`"${name}"`)} t`);
      rows.push(name, ...found.map(({ row }) => `${textsOf(row)}\n${JSON.stringify(row)}`));
    }
    clean('database', [CONTROL, '***', 'task_instance_history'], rows.join('\n'));
    const [tries] = await db.query<{ reason: string }>(
      sql`SELECT retry_reason AS reason FROM task_instance_history WHERE retry_reason IS NOT NULL`,
    );
    clean('reason of a retry', [`${CONTROL} thrown`, '***'], tries!.reason);
  });

  test('ten sinks and more were looked into', (t) => {
    t.diagnostic(`L21: 0 of ${PAIRS} secrets and encodings found in ${sinks} sinks`);
    assert.ok(sinks >= 10);
  });
});
