import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import { pythonEnvironment } from './host.ts';

const given = (env: Record<string, string>) => {
  const config = resolveConfig({ env, ini: {}, expand: (text) => text });
  return pythonEnvironment({ config, environment: env }, { program: '/venv/bin/python' });
};

test('the user’s Python knows the public address for its links, when there is one', () => {
  equal(
    given({ AIRLOCK__API__BASE_URL: 'https://flows.example.com' }).AIRFLOW__API__BASE_URL,
    'https://flows.example.com',
  );
  equal('AIRFLOW__API__BASE_URL' in given({}), false);
});

test('of our environment it gets what [python] env names, and nothing else', () => {
  const ours = { PIP_INDEX_URL: 'https://p.example.com', AWS_SECRET_ACCESS_KEY: 'x', AIRLOCK_ADMIN_PASSWORD: 'y' };
  const plain = Object.keys(given({}));
  deepEqual(Object.keys(given(ours)), plain);
  const named = given({ ...ours, AIRLOCK__PYTHON__ENV: 'PIP_INDEX_URL' });
  equal(named.PIP_INDEX_URL, 'https://p.example.com');
  equal(Object.keys(named).length, plain.length + 1);
});

test('a Dag that says nothing about versions of its bundle learns what the configuration says', () => {
  const name = 'AIRFLOW__DAG_PROCESSOR__DISABLE_BUNDLE_VERSIONING';
  equal(given({})[name], 'false');
  equal(given({ [name]: 'True' })[name], 'true');
});
