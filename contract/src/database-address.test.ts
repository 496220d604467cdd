import assert from 'node:assert/strict';
import { test } from 'node:test';
import { databaseAddress, socketAddress } from './database-address.ts';
import { isAppError } from './errors.ts';

test('Every spelling of PostgreSQL that Airflow takes means PostgreSQL here', () => {
  for (const scheme of [
    'postgres',
    'postgresql',
    'postgresql+psycopg2',
    'postgresql+psycopg',
    'postgres+psycopg2',
    'PostgreSQL+asyncpg',
  ])
    assert.equal(
      databaseAddress(`${scheme}://u:p%40@h:5/d?sslmode=require`),
      'postgresql://u:p%40@h:5/d?sslmode=require',
    );
});

test('Any other database is refused with DB_DIALECT, and its password is not repeated', () => {
  for (const text of [
    'sqlite:////x.db',
    'mysql://u:hunter2@h/d',
    'mysql+pymysql://u:hunter2@h/d',
    'postgresql+pg8000://u:hunter2@h/d',
    'u:hunter2@h',
    '',
  ])
    assert.throws(
      () => databaseAddress(text),
      (error) =>
        isAppError(error, 'DB_DIALECT') && !error.message.includes('hunter2') && error.remedy.includes('postgresql://'),
      text,
    );
});

test('A socket address carries any password', () => {
  const url = socketAddress({ role: 'r', password: 'a@/:?#%', database: 'd', socketDir: '/var/lib/x y' });
  assert.equal(url, 'postgresql://r:a%40%2F%3A%3F%23%25@/d?host=%2Fvar%2Flib%2Fx%20y');
});
