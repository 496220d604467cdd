import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isAppError } from '@airlock/contract/errors';
import { blockedBy, enterPrefix, mountNamespaceWorks } from '../src/enter.ts';

const skip = process.getuid!() === 0 && mountNamespaceWorks() ? false : 'needs root with CAP_SYS_ADMIN';
const UID = 1_999_950;

/** A closed home with a program's files and a secret beside them. */
function closedHome(): { path: string; shown: string; data: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'airlock-closed-'));
  chmodSync(path, 0o755);
  const inner = join(path, 'closed', "it's a clone");
  mkdirSync(join(inner, 'program'), { recursive: true });
  mkdirSync(join(inner, 'data'), { mode: 0o777 });
  chmodSync(join(inner, 'data'), 0o777);
  writeFileSync(join(inner, 'program/text'), 'shown');
  writeFileSync(join(inner, 'secret'), 'hidden', { mode: 0o644 });
  chmodSync(join(path, 'closed'), 0o700);
  return {
    path: inner,
    shown: join(inner, 'program'),
    data: join(inner, 'data'),
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  };
}

const run = (prefix: string[], script: string) => {
  const words = [...prefix, '/bin/sh', '-c', script];
  return execFileSync(words[0]!, words.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
};

test('Another user sees, at their own places, exactly the paths that it was given', { skip }, () => {
  using home = closedHome();
  const prefix = enterPrefix({
    uid: UID,
    gid: UID,
    paths: [
      { path: home.shown, writable: false },
      { path: home.data, writable: true },
    ],
  });
  assert.equal(run(prefix, 'id -u; id -G'), `${UID}\n${UID}`);
  assert.equal(run(prefix, `cat "${home.shown}/text"`), 'shown');
  assert.equal(run(prefix, `echo x > "${home.data}/new" && cat "${home.data}/new"`), 'x');
  assert.equal(run(prefix, 'grep NoNewPrivs /proc/self/status | tr -dc 0-9'), '1');
  assert.throws(() => run(prefix, `cat "${home.path}/secret"`), /No such file/);
  assert.throws(() => run(prefix, `echo x > "${home.shown}/text"`), /Read-only file system|Permission denied/);
  // Control: without the mounts the same user gets nowhere.
  const plain = enterPrefix({ uid: UID, gid: UID, paths: [] });
  assert.throws(() => run(plain, `cat "${home.shown}/text"`), /Permission denied/);
});

test('The process id that was spawned is the id of the program', { skip }, () => {
  using home = closedHome();
  const prefix = enterPrefix({ uid: UID, gid: UID, paths: [{ path: home.shown, writable: false }] });
  assert.equal(
    execFileSync('/bin/sh', ['-c', 'echo $$; exec "$@"', 'sh', ...prefix, '/bin/sh', '-c', 'echo $$'], {
      encoding: 'utf8',
    })
      .trim()
      .split('\n')
      .map(Number)
      .reduce((a, b) => a - b),
    0,
  );
});

test('A path whose own mode keeps the user out is refused with PATH_NOT_ENTERABLE and the remedy', { skip }, () => {
  using home = closedHome();
  chmodSync(home.shown, 0o700);
  assert.throws(
    () => enterPrefix({ uid: UID, gid: UID, paths: [{ path: home.shown, writable: false }] }),
    (error) =>
      isAppError(error, 'PATH_NOT_ENTERABLE') && error.message.includes(home.shown) && error.remedy.includes('chmod'),
  );
});

test('The first folder that a user may not enter is named', { skip }, () => {
  using home = closedHome();
  assert.equal(blockedBy(home.shown, UID, UID), join(home.path, '..'));
  assert.equal(blockedBy(home.shown, 0, 0), null);
  assert.equal(blockedBy('/usr/bin', UID, UID), null);
});
