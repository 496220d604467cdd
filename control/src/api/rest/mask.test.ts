import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMasker } from './mask.ts';

const masker = createMasker('Haus-Nummer', true);

test('names that hold a sensitive word count, whatever their case and punctuation', () => {
  for (const name of ['password', 'DB_PASSWORD', 'my-api.key', 'API KEY', 'x_token_y', 'haus-nummer']) {
    assert.ok(masker.isSensitive(name), name);
  }
  for (const name of ['user', 'key', 'region', 'pass']) assert.ok(!masker.isSensitive(name), name);
});

test('everything under a sensitive name is hidden, at any depth, numbers and objects too', () => {
  const value = { user: 'joe', secret: 12345, list: [{ token: { a: 1 }, ok: true }], password: null };
  assert.deepEqual(masker.mask(value), {
    user: 'joe',
    secret: '***',
    list: [{ token: '***', ok: true }],
    password: null,
  });
  assert.equal(masker.mask('x', 'my_secret'), '***');
});

test('switched off it hides nothing', () => {
  assert.deepEqual(createMasker('', false).mask({ password: 'x' }), { password: 'x' });
});
