/**
 * Plain http stays on this machine (promise L31): what would speak it over a network does not start, unless an option that
 * says so by its name was set. With a certificate the server speaks TLS and nothing else, also to its own worker.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { ADMIN_PASSWORD, refusedStart, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { askTls, testCertificate } from '../kit/tls.ts';
import { waitFor } from '../kit/wait.ts';

const dags = {
  'one.ts': `import { dag } from '@airlock/sdk';
export default dag('one', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => { d.task('t', { run: async () => 1 })(); });\n`,
};
const ANY_ADDRESS = { AIRLOCK__API__HOST: '0.0.0.0' };

describe('transport', () => {
  const refusals: ReadonlyArray<readonly [string, Record<string, string>, RegExp]> = [
    ['listening on every address', ANY_ADDRESS, /\[api\] host is 0\.0\.0\.0, so the API server would speak plain http/],
    [
      'workers sent over plain http',
      { AIRLOCK__CORE__EXECUTION_API_SERVER_URL: 'http://192.0.2.1/execution' },
      /plain http to another machine/,
    ],
    [
      'a public address of plain http',
      { AIRLOCK__API__BASE_URL: 'http://192.0.2.1' },
      /\[api\] base_url .* plain http/,
    ],
    [
      'a certificate without its key',
      { AIRLOCK__API__SSL_CERT: '/x.pem' },
      /ssl_cert is set and \[api\] ssl_key is not/,
    ],
    [
      'a certificate that is not there',
      { AIRLOCK__API__SSL_CERT: '/nonexistent.pem', AIRLOCK__API__SSL_KEY: '/x' },
      /ssl_cert: \/nonexistent\.pem can't be read/,
    ],
  ];
  for (const [name, env, says] of refusals) {
    test(`standalone does not start with ${name}, and says what to do`, async () => {
      using home = tempHome();
      const { status, stderr, tookMs } = await refusedStart({ home: home.path, env });
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^CONFIG_INVALID: /);
      assert.match(stderr, says);
      console.log(`${name}: refused after ${Math.round(tookMs)} ms`);
    });
  }

  test('the control: on every address it starts when the option that names the risk is set', async () => {
    await using airlock = await startStandalone({ env: { ...ANY_ADDRESS, AIRLOCK__API__INSECURE_PLAIN_HTTP: 'True' } });
    assert.equal((await fetch(`${airlock.url}/api/v2/version`)).status, 200);
  });

  test('with a certificate it serves TLS on every address: log-in, a secure cookie, and a task by its own worker', async () => {
    using folder = tempHome();
    const own = testCertificate(folder.path);
    await using airlock = await startStandalone({
      dags,
      env: { ...ANY_ADDRESS, AIRLOCK__API__SSL_CERT: own.certificatePath, AIRLOCK__API__SSL_KEY: own.keyPath },
    });
    const ask = (method: string, path: string, body?: unknown, token?: string) =>
      askTls(airlock.url + path, own.certificate, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
      });
    assert.match(airlock.url, /^https:\/\//);
    const version = await ask('GET', '/api/v2/version');
    assert.equal(version.status, 200);
    assert.match(version.protocol, /^TLSv1\.[23]$/);
    const login = await ask('POST', '/auth/token', { username: 'admin', password: ADMIN_PASSWORD });
    assert.equal(login.status, 201);
    const token = (JSON.parse(login.text) as { access_token: string }).access_token;
    await waitFor(
      'the Dag is known',
      async () => (await ask('GET', '/api/v2/dags/one', undefined, token)).status === 200,
      {
        timeoutMs: 30_000,
      },
    );
    const begun = await ask('POST', '/api/v2/dags/one/dagRuns', { logical_date: null }, token);
    const { dag_run_id: runId } = JSON.parse(begun.text) as { dag_run_id: string };
    await waitFor(
      'its worker ran it',
      async () =>
        JSON.parse((await ask('GET', `/api/v2/dags/one/dagRuns/${runId}`, undefined, token)).text).state === 'success',
      { timeoutMs: 30_000 },
    );

    // Nothing else is spoken there.
    const { port } = new URL(airlock.url);
    const plain = await new Promise<string>((resolve) => {
      let seen = '';
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write('GET /api/v2/version HTTP/1.1\r\nHost: x\r\n\r\n'),
      );
      socket.on('data', (chunk) => (seen += chunk.toString('latin1')));
      socket.on('error', () => resolve(seen)).on('close', () => resolve(seen));
    });
    assert.doesNotMatch(plain, /HTTP\/1\.1/, 'no answer in the clear');
    const handshake = (options: object) =>
      new Promise<string>((resolve) => {
        const socket = connectTls(
          { port: Number(port), host: '127.0.0.1', rejectUnauthorized: false, ...options },
          () => {
            resolve(socket.getProtocol() ?? 'none');
            socket.destroy();
          },
        );
        socket.on('error', (error) => resolve(error.message));
      });
    assert.doesNotMatch(await handshake({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }), /^TLSv1/, 'no old version');
    assert.equal(await handshake({ maxVersion: 'TLSv1.2' }), 'TLSv1.2', 'the control');
    const { certificate: foreign } = testCertificate(folder.path, 'other');
    await assert.rejects(askTls(`${airlock.url}/api/v2/version`, foreign), 'a client that trusts another certificate');
  });
});
