// Wrong tokens over HTTP, on both APIs and at every place where a token is looked for: 0 accepted, 0 answers of 5xx.
import assert from 'node:assert/strict';
import test from 'node:test';
import { mutateToken } from '../../tests/kit/mutate-token.ts';
import { seededRandom } from '../../tests/kit/seed.ts';
import { startExecutionApi } from './execution/kit.ts';
import { restKit } from './rest-kit.ts';

const TRIES = 3_000;
/** What HTTP can carry in a field; the rest is tried without HTTP, in token-verify/test/fuzz.test.ts. */
const canBeSent = (token: string) => /^[\x21-\x7e]+$/.test(token) && !/[,;"\\]/.test(token);

/** Sends wrong tokens, eight at a time. @returns how often each status came */
async function send(
  name: string,
  tokens: readonly string[],
  ask: (wrong: string) => Promise<{ status: number; text: string }>,
) {
  const random = seededRandom(name);
  const statuses = new Map<number, number>();
  const wrongs = Array.from({ length: TRIES }, () => {
    for (;;) {
      const wrong = mutateToken(random, tokens);
      if (canBeSent(wrong)) return wrong;
    }
  });
  const one = async (): Promise<void> => {
    for (let wrong = wrongs.pop(); wrong !== undefined; wrong = wrongs.pop()) {
      const { status, text } = await ask(wrong);
      assert.ok([401, 403, 431].includes(status), `${status} ${text}: ${wrong}`);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  process.stdout.write(`${name}: ${TRIES} wrong tokens, 0 accepted, answers ${JSON.stringify([...statuses])}\n`);
}

test('the REST API, as a bearer and as the cookie', { timeout: 180_000 }, async () => {
  await using kit = await restKit();
  const tokens = await Promise.all(['admin', 'viewer', 'op'].map((name) => kit.tokenOf(name)));
  for (const token of tokens) assert.equal((await kit.withToken(token)('GET', '/pools')).status, 200);
  let turn = 0;
  await send('fuzz REST', tokens, (wrong) =>
    ++turn % 2 === 0
      ? kit.withToken(wrong)('GET', '/pools')
      : kit.anonymous('GET', '/pools', undefined, { cookie: `_token=${wrong}` }),
  );
  for (const token of tokens) assert.equal((await kit.withToken(token)('GET', '/pools')).status, 200);
});

test('the Execution API', { timeout: 180_000 }, async () => {
  await using server = await startExecutionApi({}, { realTime: true });
  const ti = await server.startTry({ needs: { variables: ['v'] } });
  const { worker } = ti.worker.tokens;
  const tokens = [ti.token, ti.workload.token, worker!];
  // 404, since the variable is declared and absent: the token was taken.
  const right = () => server.call('GET', '/variables/v', { key: ti.key, token: ti.token });
  assert.equal((await right()).status, 404);
  let turn = 0;
  await send('fuzz Execution', tokens, (wrong) =>
    ++turn % 2 === 0
      ? server.call('GET', '/variables/v', { key: ti.key, token: wrong })
      : server.call('GET', '/variables/v', { headers: { authorization: `Bearer ${wrong}` } }),
  );
  assert.equal((await right()).status, 404);
});
