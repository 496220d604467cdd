// What Airflow 3.3.2 reads from the same texts; test/airflow-connections.json was written by it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { parseConnection } from '../src/connection-text.ts';

type Vector = { readonly text: string; readonly fields: Record<string, unknown> & { readonly extra: string | null } };
const vectors = JSON.parse(readFileSync(new URL('./airflow-connections.json', import.meta.url), 'utf8')) as Vector[];

test('connections in a text are read as Airflow reads them', () => {
  assert.ok(vectors.length >= 15);
  for (const { text, fields } of vectors) {
    const { description: _, ...read } = parseConnection(text);
    const plain = (extra: string | null) => (extra === null ? null : (JSON.parse(extra) as unknown));
    assert.deepEqual({ ...read, extra: plain(read.extra) }, { ...fields, extra: plain(fields.extra) }, text);
  }
});

test('a text that is no connection is refused, and no part of it is in the message', () => {
  for (const text of [
    '',
    'S3CRET',
    '{"conn_type": "S3CRET"',
    '{"host": "S3CRET"}',
    '{"conn_type": "x", "S3CRET": 1}',
    '{"conn_type": "x", "port": "S3CRET"}',
    '{"conn_type": "x", "login": 5}',
    '{"conn_type": "x", "extra": "S3CRET"}',
    '[]',
    'x://h:S3CRET/',
    'x://h:65536/',
    'a://b://c://S3CRET',
    'x://[S3CRET',
  ]) {
    assert.throws(
      () => parseConnection(text),
      (error) => error instanceof Error && !error.message.includes('S3CRET') && error.message.length > 5,
      text,
    );
  }
  assert.equal(parseConnection('{"conn_type": "x", "port": "1"}').port, 1);
});
