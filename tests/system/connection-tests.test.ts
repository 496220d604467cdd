// Promise L25: a connection is tested by a sandboxed child that has this one connection, and the result writes nothing but itself.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

type Result = { readonly status: boolean; readonly message: string };

describe('tests of connections', { skip: withoutPython }, () => {
  let airlock: Standalone;
  const post = <T>(path: string, body: object) => airlock.api<T>('POST', `/api/v2/connections${path}`, body);
  const connections = () => airlock.api('GET', '/api/v2/connections');

  before(async () => {
    ensureVenv(findPython()!);
    airlock = await startStandalone({
      env: { AIRLOCK__PYTHON__INTERPRETER: airflowVenv, AIRLOCK__CORE__TEST_CONNECTION: 'Enabled' },
    });
  });
  after(() => airlock?.stop());

  test('the hook of the user says how it went; secrets do not come back in its words; nothing is saved', async (t) => {
    const before = await connections();
    const outcomes: Array<[name: string, body: object, expected: Result]> = [
      ['a type that nobody knows', { conn_type: 'nosuch' }, { status: false, message: 'Unknown hook type "nosuch"' }],
      [
        'a folder that is there',
        { conn_type: 'fs', extra: '{"path": "/"}' },
        { status: true, message: 'Path / is existing.' },
      ],
      [
        'a path that is nobody else’s to know',
        { conn_type: 'fs', extra: '{"path": "/not/there/S3CRET"}' },
        { status: false, message: 'Path *** does not exist.' },
      ],
    ];
    for (const [name, body, expected] of outcomes)
      assert.deepEqual(await post<Result>('/test', { connection_id: 'probe', ...body }), expected, name);
    assert.deepEqual(await connections(), before);
    t.diagnostic(`${outcomes.length} results, 0 connections written`);
  });

  test('the child sees neither the home of Airlock nor what other processes keep', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'airlock-beside-'));
    try {
      for (const path of [join(airlock.home, 'keys', 'fernet'), join(airlock.home, 'airlock.cfg'), folder]) {
        const body = { connection_id: 'probe', conn_type: 'fs', extra: JSON.stringify({ path }) };
        assert.equal((await post<Result>('/test', body)).status, false, path);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a test that is queued is polled by its token', async () => {
    const body = { connection_id: 'queued', conn_type: 'fs', extra: '{"path": "/"}' };
    const { token, state } = await post<{ token: string; state: string }>('/enqueue-test', body);
    assert.equal(state, 'pending');
    const done = await waitFor(
      'the result of the test',
      async () => {
        const answer = await fetch(`${airlock.url}/api/v2/connections/enqueue-test`, {
          headers: { authorization: `Bearer ${await airlock.token()}`, 'airflow-connection-test-token': token },
        });
        const row = (await answer.json()) as { state: string; result_message: string };
        return row.state === 'success' || row.state === 'failed' ? row : null;
      },
      { timeoutMs: 120_000 },
    );
    assert.deepEqual([done.state, done.result_message], ['success', 'Path / is existing.']);
  });
});
