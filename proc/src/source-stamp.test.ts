import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasStamp, sourceStamp } from './source-stamp.ts';

test('a stamp is the same until a source is changed, touched, added or removed; tests and other files do not count', () => {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-stamp-'));
  try {
    const at = (name: string) => join(folder, name);
    const lock = at('lock.json');
    mkdirSync(at('deep'));
    writeFileSync(at('deep/a.ts'), 'one');
    const stamp = () => sourceStamp([folder], [lock]);
    let last = stamp();
    const changes = (what: string, change: () => void) => {
      change();
      assert.notEqual(stamp(), last, what);
      last = stamp();
    };
    const changesNothing = (what: string, change: () => void) => {
      change();
      assert.equal(stamp(), last, what);
    };
    changesNothing('nothing', () => undefined);
    changes('a longer source', () => writeFileSync(at('deep/a.ts'), 'longer'));
    changes('a touched source', () => utimesSync(at('deep/a.ts'), 1000, 1000));
    changes('a new source', () => writeFileSync(at('b.ts'), ''));
    changes('a source less', () => rmSync(at('b.ts')));
    changes('a named file that appears', () => writeFileSync(lock, '{}'));
    changesNothing('a test', () => writeFileSync(at('a.test.ts'), ''));
    changesNothing('a text', () => writeFileSync(at('a.md'), ''));

    assert.equal(hasStamp(at('stamp'), last), false);
    writeFileSync(at('stamp'), last);
    assert.equal(hasStamp(at('stamp'), last), true);
    assert.equal(hasStamp(at('stamp'), `${last}0`), false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
