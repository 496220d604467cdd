import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { looksSealed, openFernet, readFernetKey } from './fernet.ts';

const KEY = '2IyYX9yZHQHxHTyYvt72pQwkwChvVHO7O644jPdtVzc=';
/** From the table of a real Airflow. */
const SEALED = 'gAAAAABrCKC5tT8rZrINjTu9RxJ0R61Lhyur793xrZ2KfkfX2HI1LI-5WWDWHAL4xYTLSeYdmnoNvTZIdMtszXTeIhV7psdJGg==';
const key = readFernetKey(KEY)!;
const other = readFernetKey(Buffer.alloc(32, 1).toString('base64url'))!;

test('a value of Airflow is opened by its key, wherever that stands in the list', () => {
  equal(looksSealed(SEALED), true);
  equal(openFernet([key], SEALED), 'text é');
  equal(openFernet([other, key], SEALED), 'text é');
});

test('another key, a changed value, a short one and no value at all are refused', () => {
  equal(openFernet([other], SEALED), null);
  equal(openFernet([], SEALED), null);
  const bytes = Buffer.from(SEALED, 'base64url');
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    equal(openFernet([key], changed.toString('base64url')), null, String(at));
  }
  for (const text of [SEALED.slice(0, 40), '', 'plain', 'gAAAAA']) equal(openFernet([key], text), null, text);
});

test('what is no key is none', () => {
  for (const text of ['', 'short', `${KEY}AAAA`]) equal(readFernetKey(text), null);
  equal(looksSealed('gAAAAAB, said the dragon'), false);
});
