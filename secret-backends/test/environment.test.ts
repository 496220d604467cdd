import assert from 'node:assert/strict';
import test from 'node:test';
import { environmentBackend, environmentSecrets } from '../src/environment.ts';

const secrets = environmentSecrets({
  AIRFLOW_CONN_DB: 'postgres://u:p@shared/',
  AIRFLOW_CONN__ETL___DB: 'postgres://u:p@etl/',
  AIRFLOW_CONN_BROKEN: 'S3CRET',
  AIRFLOW_VAR_REGION: 'eu',
  AIRFLOW_VAR__ETL___REGION: 'us',
  AIRFLOW_VAR_EMPTY: '',
  AIRFLOW_VAR_: 'no name',
  AIRFLOW__CORE__FERNET_KEY: 'an option, not a variable',
  HOME: '/home/x',
});

test('only connections and variables are taken out of an environment', () => {
  assert.deepEqual(Object.keys(secrets.connections).sort(), ['BROKEN', 'DB', '_ETL___DB']);
  assert.deepEqual(Object.keys(secrets.variables).sort(), ['EMPTY', 'REGION', '_ETL___REGION']);
});

test('a name is found whatever its case; what is empty or inherited from the language is absent', async () => {
  const env = environmentBackend(secrets, false);
  assert.equal((await env.connection('db', null))?.host, 'shared');
  assert.equal(await env.variable('region', null), 'eu');
  for (const name of ['empty', 'nothing', 'constructor', '__proto__', 'toString'])
    assert.equal(await env.variable(name, null), null, name);
});

test('a team reads its own first, then what is shared, and nobody reaches one by its long name', async () => {
  const env = environmentBackend(secrets, true);
  assert.equal(await env.variable('region', 'etl'), 'us');
  assert.equal(await env.variable('region', 'ml'), 'eu');
  assert.equal(await env.variable('region', null), 'eu');
  assert.equal((await env.connection('db', 'etl'))?.host, 'etl');
  for (const team of ['ml', null]) {
    assert.equal(await env.variable('_etl___region', team), null);
    assert.equal(await env.connection('_etl___db', team), null);
  }
  assert.equal(
    await environmentBackend(secrets, false).variable('_etl___region', null),
    'us',
    'teams are off: a plain name',
  );
});

test('a connection that is not written as one is an error and not absent, and is not shown', async () => {
  await assert.rejects(environmentBackend(secrets, false).connection('broken', null), (error) => {
    assert.doesNotMatch(JSON.stringify(error) + String(error), /S3CRET/);
    return (error as { code?: string }).code === 'SECRETS_UNAVAILABLE';
  });
});
