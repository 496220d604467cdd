// test/data/airflow-fernet.json was written by the library that Airflow encrypts with.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { openFernet } from './fernet.ts';

type Vector = { readonly key: string; readonly text: string; readonly token: string };
const path = new URL('../../../test/data/airflow-fernet.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vector[];
const keyOf = (text: string) => Buffer.from(text, 'base64url');

test('what Airflow has encrypted is read with its key, wherever the key stands in the list', () => {
  const keys = [...new Set(vectors.map(({ key }) => key))].map(keyOf);
  assert.equal(keys.length, 2);
  for (const { token, text } of vectors) {
    assert.equal(openFernet(token, keys), text);
    assert.equal(openFernet(token, keys.toReversed()), text);
    assert.equal(openFernet(token.replace(/=+$/, ''), keys), text, 'padding adds nothing');
  }
});

test('another key, a changed byte, a cut and nonsense give nothing', () => {
  const { key, token } = vectors[1]!;
  const keys = [keyOf(key)];
  assert.equal(openFernet(token, [Buffer.alloc(32, 1)]), null);
  assert.equal(openFernet(token, []), null);
  const bytes = Buffer.from(token, 'base64url');
  for (let n = 0; n < bytes.length; n++) {
    const changed = Buffer.from(bytes);
    changed[n]! ^= 1;
    assert.equal(openFernet(changed.toString('base64url'), keys), null, `byte ${n}`);
    assert.equal(openFernet(bytes.subarray(0, n).toString('base64url'), keys), null, `cut at ${n}`);
  }
  for (const text of ['', 'gAAAA', 'a1.x.y.z', `${token}!`, ` ${token}`]) assert.equal(openFernet(text, keys), null);
  assert.equal(openFernet(token, keys), vectors[1]!.text);
});
