/** Failed log-ins are counted once per deployment: each throttle here is one of another replica on the same database. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AppError } from '@airlock/contract/errors';
import { sql } from '@airlock/store';
import { type TestDatabase, testDatabase } from '../../tests/kit/database.ts';
import { createThrottle, MAX_FAILURES, WINDOW_MS } from '../src/api/auth/throttle.ts';
import { createSecretBox } from '../src/api/secrets/index.ts';

let database: TestDatabase;
before(async () => {
  database = await testDatabase();
});
after(() => database.close());

const KEY = Buffer.alloc(32, 9).toString('base64url');
let serial = 0;
const fresh = () => ({ username: `name ${++serial}`, address: `192.0.2.${serial}` });

/** One log-in on a replica of its own, counted at `atMs`. */
function attempt(login: { username: string; address: string }, atMs: number) {
  const throttle = createThrottle(
    { db: database.db, clock: { nowMs: () => atMs }, secrets: createSecretBox(KEY) },
    login,
  );
  return throttle.refuse().then(() => throttle.count());
}
const waitOf = async (refused: Promise<unknown>): Promise<number> => {
  const error = await refused.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AppError && error.code === 'RATE_LIMITED', 'the attempt was admitted');
  return error.internal.retryAfterSeconds as number;
};

test('the eleventh failure of an account within a minute is refused, whatever the address, and then no longer', async () => {
  const { username } = fresh();
  for (let i = 0; i < MAX_FAILURES; i++) await attempt({ username, address: fresh().address }, 1000 * i);
  assert.equal(await waitOf(attempt({ username, address: fresh().address }, 10_000)), 50);
  assert.equal(await waitOf(attempt({ username, address: fresh().address }, 59_999)), 1);
  await attempt(fresh(), 10_000); // control: another account from another address
  await attempt({ username, address: fresh().address }, 60_001);
  assert.equal(await waitOf(attempt({ username, address: fresh().address }, 60_001)), 1, 'one place was free, not ten');
});

test('the same of an address, whatever the account', async () => {
  const { address } = fresh();
  for (let i = 0; i < MAX_FAILURES; i++) await attempt({ username: fresh().username, address }, 100_000);
  assert.equal(await waitOf(attempt({ username: fresh().username, address }, 100_000)), WINDOW_MS / 1000);
  await attempt({ username: fresh().username, address: fresh().address }, 100_000); // control
});

test('what was taken back after a success counts for nothing', async () => {
  const login = fresh();
  for (let i = 0; i < 3 * MAX_FAILURES; i++) await (await attempt(login, 200_000))();
  for (let i = 0; i < MAX_FAILURES; i++) await attempt(login, 200_000);
  await waitOf(attempt(login, 200_000));
});

test('a refused attempt is not counted, so the wait does not grow with knocking', async () => {
  const login = fresh();
  for (let i = 0; i < MAX_FAILURES; i++) await attempt(login, 300_000);
  for (let i = 1; i < 10; i++) await waitOf(attempt(login, 300_000 + i * 5_000));
  await attempt(login, 300_000 + WINDOW_MS + 1);
});

test('of a hundred attempts at the same moment ten are looked at', async () => {
  for (const login of [fresh(), fresh()]) {
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => attempt(login, 400_000)));
    const admitted = results.filter((result) => result.status === 'fulfilled').length;
    assert.equal(admitted, MAX_FAILURES);
    for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'RATE_LIMITED');
  }
});

test('attempts that share address or account in any order never block each other for good', async () => {
  const [a, b] = [fresh(), fresh()];
  const crossed = [a, b, { username: a.username, address: b.address }, { username: b.username, address: a.address }];
  const results = await Promise.allSettled(Array.from({ length: 80 }, (_, i) => attempt(crossed[i % 4]!, 500_000)));
  for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'RATE_LIMITED');
  const admitted = results.filter((result) => result.status === 'fulfilled').length;
  assert.ok(admitted > 0 && admitted <= 2 * MAX_FAILURES, `${admitted}`);
});

test('neither name nor address is in the database, and without the key no fingerprint can be tried out', async () => {
  const login = { username: 'my secret password', address: '203.0.113.77' };
  await attempt(login, 600_000);
  const text = JSON.stringify(await database.db.query(sql`SELECT * FROM login_attempt`));
  const plain = createSecretBox(null);
  const other = createSecretBox(Buffer.alloc(32, 8).toString('base64url'));
  for (const canary of [
    login.username,
    login.address,
    plain.fingerprint(login.username, 'login account'),
    other.fingerprint(login.username, 'login account'),
    createSecretBox(KEY).fingerprint(login.username, 'login address'),
  ]) {
    assert.ok(!text.includes(canary), canary);
  }
  assert.ok(text.includes(createSecretBox(KEY).fingerprint(login.username, 'login account'))); // control
});
