import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BrokenFrame, encodeFrame, FrameDecoder, isShallow } from './frames.ts';

const LIMIT = 1024 * 1024;

test('frames come out whole and in order, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 5 }), { maxLength: 10 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (values, cuts) => {
        const bytes = Buffer.concat(values.map((value) => encodeFrame(value, LIMIT)));
        const decoder = new FrameDecoder(LIMIT);
        const seen: unknown[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length]!;
          seen.push(...decoder.push(bytes.subarray(at, at + size)));
          at += size;
        }
        deepEqual(JSON.stringify(seen), JSON.stringify(values));
      },
    ),
  );
});

test('a length above the limit is refused before a byte of the body has come', () => {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(101);
  throws(() => new FrameDecoder(100).push(header), BrokenFrame);
  header.writeUInt32BE(100);
  deepEqual(new FrameDecoder(100).push(header), []);
});

test('text that is no JSON breaks the frame', () => {
  const body = Buffer.from('{"a":');
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  throws(() => new FrameDecoder(100).push(Buffer.concat([header, body])), /not JSON/);
});

test('nesting is counted outside of strings, and 64 levels are the most', () => {
  const nested = (levels: number) => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
  equal(isShallow(nested(64), 64), true);
  equal(isShallow(nested(65), 64), false);
  equal(isShallow(Buffer.from(JSON.stringify('['.repeat(100))), 64), true);
  equal(isShallow(Buffer.from(JSON.stringify(`\\"${'['.repeat(100)}`)), 64), true);
});

test('a frame larger than its reader accepts is never written', () => {
  throws(() => encodeFrame('x'.repeat(100), 50), RangeError);
});
