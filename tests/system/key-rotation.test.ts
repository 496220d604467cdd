// Promise L30: keys rotate without a failed honest request, on three API servers that are processes of their own, each of which
// is restarted in between; a retired key is refused within 60 s. A tenth of the requests, whole with `npm run soak`.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@airlock/contract/clock';
import type { ListedKey } from '@airlock/contract/ipc/token-service';
import { sql } from '@airlock/store';
import { createAccount } from '../../control/src/api/auth/accounts.ts';
import { createTokenMinter, type TokenMinter } from '../../control/src/tokens/minter.ts';
import { type Replicas, startReplicas } from '../kit/replicas.ts';
import { scaled } from '../kit/seed.ts';
import { repositoryRoot } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const REQUESTS = scaled(10_000, 1_000);
const ROTATIONS = scaled(3, 1);
/** 100/s whole; the tenth is spread over the one rotation that it sees. */
const EVERY_MS = REQUESTS >= 10_000 ? 10 : 25;
const REFUSED_WITHIN_MS = 60_000;

let cluster: Replicas;
let minter: TokenMinter;
const show = (text: string) => process.stdout.write(`${text}\n`);

before(async () => {
  cluster = await startReplicas();
  minter = createTokenMinter({ socketPath: cluster.tokenSocket, clock: systemClock });
  const deps = { db: cluster.database.db, clock: systemClock };
  await createAccount(deps, 'test', { name: 'root', role: 'admin', password: null });
});
after(async () => {
  minter?.close();
  await cluster?.[Symbol.asyncDispose]();
});

const mint = () => minter.mint('user', { sub: 'root', jti: randomBytes(16).toString('hex'), ttlSeconds: 3600 });

/** Status, or null when the server took no request: it refused the connection, or closed it without a byte of an answer. */
function ask(base: string, token: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const sent = request(`${base}/api/v2/pools?limit=1`, {
      agent: false,
      headers: { authorization: `Bearer ${token}` },
    });
    sent.on('response', (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode!));
    });
    sent.on('error', (error: NodeJS.ErrnoException) =>
      ['ECONNREFUSED', 'ECONNRESET'].includes(error.code ?? '') ? resolve(null) : reject(error),
    );
    sent.end();
  });
}

/** `airlock keys …` as the operator of one replica. */
async function keys(...words: string[]): Promise<string> {
  const child = spawn(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), 'keys', ...words], {
    env: { PATH: process.env.PATH ?? '', HOME: cluster.home, AIRLOCK_HOME: join(cluster.home, 'api-1') },
  });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (out += chunk.toString()));
  const status = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(status, 0, out);
  return out;
}
const list = async () => JSON.parse(await keys('list', '--json')) as ListedKey[];

test('honest requests go on through rotations and restarts, and a retired key is refused on every replica', {
  timeout: 600_000,
}, async () => {
  const first = (await list())[0]!.kid;
  const oldToken = await mint();
  const kids = new Set<string>();
  const failures: string[] = [];
  let failovers = 0;
  let done = false;
  let sent = 0;

  /** Null while it starts: it has no port yet. */
  const addressOf = (number: number): string | null => {
    try {
      return cluster.replicas[number % 3]!.url();
    } catch {
      return null;
    }
  };
  /** A balancer: in turn, and on to the next replica when one takes no request. Each request has a token of its own. */
  const one = async (number: number): Promise<void> => {
    const token = number % 4 === 0 ? oldToken : await mint();
    kids.add(String((JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { kid: string }).kid));
    for (let attempt = 0; attempt < 3; attempt++) {
      const base = addressOf(number + attempt);
      const status = base === null ? null : await ask(base, token);
      if (status === 200) return;
      if (status !== null) throw new Error(`status ${status}`);
      failovers++;
    }
    throw new Error('no replica took it');
  };
  const load = (async () => {
    const beganMs = performance.now();
    const flying = new Set<Promise<void>>();
    for (; sent < REQUESTS || !done; sent++) {
      const at = beganMs + sent * EVERY_MS;
      if (at > performance.now()) await sleep(at - performance.now());
      const asked = one(sent)
        .catch((error: unknown) => void failures.push(String(error)))
        .finally(() => flying.delete(asked));
      flying.add(asked);
    }
    await Promise.all(flying);
    return performance.now() - beganMs;
  })();

  const changes = (async () => {
    for (let turn = 0; turn < ROTATIONS; turn++) {
      assert.match(await keys('rotate'), /signs from/);
      const next = (await list()).find(({ state }) => state === 'next')!;
      // One replica is down and up while the key is new; the others must know it, and so must this one when it is back.
      for (const replica of ROTATIONS === 1 ? cluster.replicas : [cluster.replicas[turn]!]) await replica.restart();
      await waitFor(
        'the new key signs',
        async () => (await list()).some((key) => key.kid === next.kid && key.state === 'signing'),
        {
          timeoutMs: 60_000,
          everyMs: 500,
        },
      );
    }
  })().finally(() => {
    done = true;
  });
  await changes;
  const tookMs = await load;
  show(
    `L30: ${sent} requests in ${(tookMs / 1000).toFixed(0)} s, ${ROTATIONS} rotations, ${cluster.replicas.length} restarts: ` +
      `${failures.length} failed, ${failovers} sent on to another replica, ${kids.size} keys seen`,
  );
  assert.deepEqual(failures.slice(0, 5), []);
  assert.equal(kids.size, ROTATIONS + 1);

  const current = await mint();
  const bases = cluster.replicas.map((replica) => replica.url());
  for (const base of bases)
    assert.equal(await ask(base, oldToken), 200, 'the control: what the first key signed is good');
  assert.match(await keys('retire', first), /is retired/);
  const retiredMs = performance.now();
  for (const base of bases) {
    await waitFor('the retired key is refused', async () => (await ask(base, oldToken)) === 403, {
      timeoutMs: REFUSED_WITHIN_MS,
      everyMs: 100,
    });
  }
  show(
    `L30: the retired key was refused on all replicas after ${((performance.now() - retiredMs) / 1000).toFixed(1)} s`,
  );
  for (const base of bases) {
    assert.equal(await ask(base, oldToken), 403);
    assert.equal(await ask(base, current), 200);
  }
  const rows = await cluster.database.db.query<{ event: string; owner: string }>(
    sql`SELECT event, owner FROM event_log WHERE event IN ('rotate_key', 'retire_key') ORDER BY id`,
  );
  assert.deepEqual(
    rows.map(({ event }) => event),
    [...Array.from({ length: ROTATIONS }, () => 'rotate_key'), 'retire_key'],
  );
  assert.ok(rows.every(({ owner }) => owner.startsWith('local:')));
});

test('what cannot be done is refused with words and a status of its own', async () => {
  const signing = (await list()).find(({ state }) => state === 'signing')!.kid;
  await assert.rejects(keys('retire', signing), /signs the tokens of now/);
  await assert.rejects(keys('retire', 'no-such-key'), /There is no key no-such-key/);
});
