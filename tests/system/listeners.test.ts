/**
 * What an installation listens on, and what it answers to somebody without a credential (promise L11): every socket of every
 * process, every route of the Execution API and of the REST API. Only what is public by its row is answered.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EXECUTION_POLICY } from '../../control/src/api/execution/policy.ts';
import { REST_POLICY } from '../../control/src/api/rest/policy.ts';
import { descendantsOf } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';

type Target = { readonly socketPath: string } | { readonly port: number };

function ask(target: Target, method: string, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...target, host: '127.0.0.1', method, path, headers, agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end(['POST', 'PUT', 'PATCH'].includes(method) ? '{}' : undefined);
  });
}

const ID = '01900000-0000-7000-8000-000000000000';
const filled = (path: string) => path.replace(/:\w+/g, ID).replaceAll('*', 'x');

describe('listeners', { skip: process.getuid!() === 0 ? false : 'needs root, to read whose sockets these are' }, () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone();
  });
  after(async () => {
    await airlock?.stop();
  });

  /** Everything that the processes of the installation listen on: TCP ports, and paths of Unix sockets. */
  function listeners(): { tcp: string[]; unix: string[] } {
    const inodes = new Set<string>();
    for (const { pid } of [{ pid: airlock.pid }, ...descendantsOf(airlock.pid)]) {
      try {
        for (const name of readdirSync(`/proc/${pid}/fd`)) {
          const socket = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`));
          if (socket) inodes.add(socket[1]!);
        }
      } catch {
        // It ended meanwhile.
      }
    }
    const tcp = ['tcp', 'tcp6'].flatMap((file) =>
      readFileSync(`/proc/net/${file}`, 'utf8')
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/\s+/))
        .filter((words) => words[3] === '0A' && inodes.has(words[9]!))
        .map((words) => words[1]!),
    );
    const unix = readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      // Flag 0x10000: it accepts connections.
      .filter((words) => words[3] === '00010000' && inodes.has(words[6]!))
      .map((words) => words[7] ?? '(without a name)');
    return { tcp, unix };
  }

  test('one TCP port on loopback, and three sockets in the data folder: nothing else listens', () => {
    const { tcp, unix } = listeners();
    const port = Number(new URL(airlock.url).port);
    assert.deepEqual(tcp, [`0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`]);
    assert.deepEqual([...new Set(unix)].map((path) => path.replace(airlock.home, '')).sort(), [
      '/run/control/control.sock',
      '/run/postgres/.s.PGSQL.5432',
      '/run/token/token.sock',
    ]);
  });

  test('without a credential, or with one that nobody signed, no route answers but those that are public by their row', async () => {
    const tcp: Target = { port: Number(new URL(airlock.url).port) };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const nowSeconds = Math.floor(Date.now() / 1000);
    const unsigned = (typ: string, aud: string) =>
      `${part({ alg: 'none', typ })}.${part({ sub: ID, aud, iat: nowSeconds, nbf: nowSeconds, exp: nowSeconds + 60, jti: 'a'.repeat(32), scope: 'execution' })}.`;
    const tokens = [
      null,
      unsigned('airlock-execution+jwt', 'urn:airflow.apache.org:task'),
      unsigned('airlock-user+jwt', 'apache-airflow'),
    ];
    let asked = 0;
    let open = 0;
    const answered: string[] = [];
    const look = async (prefix: string, name: string, isPublic: boolean) => {
      const [method, path] = name.split(' ') as [string, string];
      for (const token of tokens) {
        const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
        const status = await ask(tcp, method, prefix + filled(path), {
          'content-type': 'application/json',
          ...headers,
        });
        asked += 1;
        if (isPublic) open += 1;
        else if (![401, 403].includes(status)) answered.push(`${name}: ${status}`);
      }
    };
    for (const [name, row] of Object.entries(EXECUTION_POLICY)) await look('/execution', name, row.tokens === 'public');
    for (const [name, row] of Object.entries(REST_POLICY)) await look('/api/v2', name, 'public' in row);
    assert.deepEqual(answered, []);
    assert.ok(asked > 300, String(asked));
    console.log(`without a credential: ${asked} requests, ${open} to public routes, 0 of the others answered`);
    // The control: the same request with a credential is answered.
    assert.ok(Array.isArray((await airlock.api<{ pools: unknown[] }>('GET', '/api/v2/pools')).pools));
  });

  test('the operators’ socket, which asks for no token, serves no route of tasks', async () => {
    const socket: Target = { socketPath: join(airlock.home, 'run/control/control.sock') };
    assert.equal(await ask(socket, 'GET', '/local/users'), 200, 'the control: it serves operators');
    for (const name of Object.keys(EXECUTION_POLICY)) {
      const [method, path] = name.split(' ') as [string, string];
      const status = await ask(socket, method, `/execution${filled(path)}`, { 'content-type': 'application/json' });
      assert.ok([404, 405].includes(status), `${name}: ${status}`);
    }
  });
});
