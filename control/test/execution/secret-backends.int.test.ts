// Rights come before every look-up, wherever a name lies; and a store that refuses or fails ends the look-up (promise L7).
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { startVaultDouble } from '../../../tests/kit/vault.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const read = (server: Server, ti: Try, path: string) => server.call('GET', path, { token: ti.token, key: ti.key });

/** A server that asks a Vault, then its environment, then its database; each place has its own value of the same names. */
async function threePlaces() {
  const vault = await startVaultDouble();
  vault.tokens.set('t', { paths: ['secret/variables', 'secret/connections'] });
  const environment = {
    variables: { IN_TWO: 'environment', IN_ALL: 'environment' },
    connections: { IN_TWO: 'http://environment/', IN_ALL: 'http://environment/' },
  };
  const kwargs = JSON.stringify({ url: vault.url, token: 't', timeout: 0.5 });
  const server = await startExecutionApi(
    { AIRLOCK__SECRETS__BACKEND: 'vault', AIRLOCK__SECRETS__BACKEND_KWARGS: kwargs },
    { environment },
  );
  vault.secrets.set('secret/variables/IN_ALL', { value: 'vault' });
  vault.secrets.set('secret/connections/IN_ALL', { conn_uri: 'http://u:p@vault/' });
  for (const name of ['IN_ONE', 'IN_TWO', 'IN_ALL']) {
    await server.db.query(sql`INSERT INTO variable (key, val, is_encrypted) VALUES (${name}, 'database', false)`);
    await server.db.query(
      sql`INSERT INTO connection (conn_id, conn_type, host, is_encrypted) VALUES (${name}, 'http', 'database', false)`,
    );
  }
  return {
    vault,
    server,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await vault[Symbol.asyncDispose]();
    },
  };
}
const NAMES = ['IN_ONE', 'IN_TWO', 'IN_ALL', 'IN_NONE'];

test('a declared name comes from the store, else from the environment, else from the database, else it is 404', async () => {
  await using place = await threePlaces();
  const { server } = place;
  const ti = await server.startTry({ needs: { variables: NAMES, connections: NAMES } });
  for (const [name, from] of [
    ['IN_ALL', 'vault'],
    ['IN_TWO', 'environment'],
    ['IN_ONE', 'database'],
  ] as const) {
    const variable = await read(server, ti, `/variables/${name}`);
    assert.deepEqual([variable.status, variable.json()], [200, { key: name, value: from }]);
    const connection = await read(server, ti, `/connections/${name}`);
    assert.equal(connection.status, 200);
    assert.deepEqual(Object.keys(connection.json<object>()).sort(), [
      'conn_id',
      'conn_type',
      'extra',
      'host',
      'login',
      'password',
      'port',
      'schema',
    ]);
    assert.equal(connection.json<{ host: string }>().host, from);
  }
  for (const kind of ['variables', 'connections'])
    assert.equal((await read(server, ti, `/${kind}/IN_NONE`)).status, 404, kind);
});

test('a name that is not declared is 403 in the same words, wherever it lies, and no store is asked for it', async () => {
  await using place = await threePlaces();
  const { server, vault } = place;
  const ti = await server.startTry({ needs: { variables: [], connections: [] } });
  for (const kind of ['variables', 'connections'] as const) {
    for (const name of NAMES) {
      const answer = await read(server, ti, `/${kind}/${name}`);
      const message = `Task does not have access to ${kind.slice(0, -1)} ${name}`;
      assert.deepEqual([answer.status, answer.json()], [403, { detail: { reason: 'access_denied', message } }]);
    }
  }
  assert.deepEqual(vault.seen, []);
  const declared = await server.startTry({ needs: { variables: ['IN_ALL'], connections: [] } });
  assert.equal((await read(server, declared, '/variables/IN_ALL')).json<{ value: string }>().value, 'vault');
  assert.equal(vault.seen.length, 1);
});

test('what the store refuses, and what it fails to answer, comes from nowhere else', async () => {
  await using place = await threePlaces();
  const { server, vault } = place;
  const ti = await server.startTry({ needs: { variables: NAMES, connections: NAMES } });
  const statuses = async () =>
    Promise.all(
      ['/variables/IN_TWO', '/connections/IN_TWO', '/variables/IN_ONE', '/connections/IN_ONE'].map(async (path) => {
        const answer = await read(server, ti, path);
        assert.doesNotMatch(answer.status === 200 ? '' : answer.text, /environment|database|127\.0\.0\.1/);
        return answer.status;
      }),
    );
  vault.tokens.set('t', { paths: [] });
  assert.deepEqual(await statuses(), [403, 403, 403, 403]);
  vault.override = (_, response) => response.writeHead(503).end('{"errors":["Vault is sealed"]}');
  assert.deepEqual(await statuses(), [503, 503, 503, 503]);
  vault.override = () => undefined;
  assert.deepEqual(await statuses(), [503, 503, 503, 503]);
  vault.override = null;
  vault.tokens.set('t', { paths: ['secret/variables', 'secret/connections'] });
  assert.deepEqual(await statuses(), [200, 200, 200, 200], 'absent there');
});

test('a try that ends while the store is being asked gets nothing', async () => {
  await using place = await threePlaces();
  const { server, vault } = place;
  const ti = await server.startTry({ needs: { variables: ['IN_ALL'], connections: [] } });
  const asked = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  vault.override = (_, response) => {
    asked.resolve();
    void go.promise.then(() => response.writeHead(200).end('{"data":{"data":{"value":"vault"}}}'));
  };
  const answer = read(server, ti, '/variables/IN_ALL');
  await asked.promise;
  await server.db.query(sql`UPDATE task_instance SET state = 'failed' WHERE id = ${ti.id}`);
  go.resolve();
  assert.equal((await answer).status, 403);
});
