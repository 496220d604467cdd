import assert from 'node:assert/strict';
import test from 'node:test';
import { splitCompact } from './compact.ts';

const encode = (text: string) => Buffer.from(text).toString('base64url');
const HEADER = encode('{"alg":"EdDSA"}');
const of = (header: string, payload = encode('{}'), signature = encode('signature')) =>
  `${header}.${payload}.${signature}`;
test('4,096 bytes are looked at, and one more is not', () => {
  const [fits, longer] = [4096, 4097].map((length) => {
    for (const signature of ['AA', 'AAA', 'AAAA']) {
      const rest = length - `${HEADER}..${signature}`.length;
      if (rest % 4 !== 1) return `${HEADER}.${'A'.repeat(rest)}.${signature}`;
    }
    throw new Error('no such text');
  });
  assert.equal(fits!.length, 4096);
  assert.ok(splitCompact(fits!));
  assert.equal(longer!.length, 4097);
  assert.equal(splitCompact(longer!), null);
});

for (const [name, text] of Object.entries({
  'no dot': 'abc',
  'two parts': `${HEADER}.e30`,
  'four parts': `${of(HEADER)}.AA`,
  'five parts, as encryption has': 'a.b.c.d.e',
  'no signature': `${HEADER}.e30.`,
  padding: of(HEADER, 'e30='),
  'the other base64': of(HEADER, '+/+/'),
  'a space': of(HEADER, 'e3 0'),
  'a line break at the end': `${of(HEADER)}\n`,
  'bits that nobody reads': of(HEADER, 'e31'),
  'a length that base64 does not have': of(HEADER, 'e30AA'),
  'a header that is no JSON': of(encode('{')),
  'a header that is a list': of(encode('[]')),
  'a header that is null': of(encode('null')),
  'JSON instead of the compact form': JSON.stringify({ payload: 'e30', signatures: [] }),
})) {
  test(`${name}: not a compact token`, () => {
    assert.ok(splitCompact(of(HEADER)));
    assert.equal(splitCompact(text), null);
  });
}
