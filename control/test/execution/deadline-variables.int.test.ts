// Which variable says how long a run may take: the one that a callback of its Dag would read.
import assert from 'node:assert/strict';
import test from 'node:test';
import { encodeNeeds, NO_NEEDS } from '@airlock/contract/dag/needs';
import { sql } from '@airlock/store';
import { secretOwner } from '../../src/api/secrets/stored.ts';
import { deadlineVariables } from '../../src/scheduler/deadline-variables.ts';
import { type Server, startExecutionApi } from './kit.ts';

async function sow(server: Server) {
  const { secrets } = server.deps;
  for (const [key, team, value] of [
    ['limit', null, '60'],
    ['limit', 'blue', '7'],
    ['secret', 'red', '8'],
  ] as const) {
    if (team) await server.db.query(sql`INSERT INTO team (name) VALUES (${team}) ON CONFLICT DO NOTHING`);
    await server.db.query(sql`INSERT INTO variable (team, key, val, is_encrypted)
      VALUES (${team}, ${key}, ${secrets.seal(value, secretOwner.variable(key))}, ${secrets.encrypts})`);
  }
  return deadlineVariables(server.deps);
}

test('it is that of the team of the run, else the shared one, never that of another team', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const read = await sow(server);
  assert.equal(await read('limit', { team: null, needs: null }), '60');
  assert.equal(await read('limit', { team: 'blue', needs: null }), '7');
  assert.equal(await read('limit', { team: 'red', needs: null }), '60');
  assert.equal(await read('secret', { team: 'blue', needs: null }), null);
  assert.equal(await read('secret', { team: null, needs: null }), null);
  assert.equal(await read('secret', { team: 'red', needs: null }), '8', 'the control');
});

test('needs bind it as they bind callbacks: what is not declared is refused, whether or not it exists', async () => {
  await using server = await startExecutionApi();
  const read = await sow(server);
  const needs = encodeNeeds({ ...NO_NEEDS, variables: ['limit', 'absent'] });
  const refused = (key: string, needs: string | null, of = read) =>
    assert.rejects(of(key, { team: null, needs }), {
      code: 'NOT_ENTITLED',
      message: new RegExp(`'${key}' is not declared`),
    });
  await refused('secret', needs);
  await refused('nothing', needs);
  await refused('limit', encodeNeeds(NO_NEEDS));
  assert.equal(await read('limit', { team: null, needs }), '60', 'the control');
  assert.equal(await read('absent', { team: null, needs }), null);
  await using strict = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'strict' });
  await refused('limit', null, await sow(strict));
});

test('a variable of an outside source comes before that of the database', async () => {
  const environment = { connections: {}, variables: { LIMIT: '9' } };
  await using server = await startExecutionApi({}, { environment });
  const read = await sow(server);
  assert.equal(await read('limit', { team: null, needs: null }), '9');
});
