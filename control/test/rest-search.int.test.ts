/**
 * Filters that look into every row: what they may ask for is bounded, what they take is bounded, and whoever sends the worst of
 * them keeps nobody else from working. @see promise L16
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { waitFor } from '../../tests/kit/wait.ts';
import { REST_ROUTES } from '../src/api/rest/index.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const ROWS = 20_000;
/** Long enough that LIKE compares each row thousands of times: some seconds for all rows. */
const HOSTILE = `${'a'.repeat(120)}_b`;

let kit: RestKit;
before(async () => {
  kit = await restKit({ config: { AIRLOCK__API__SEARCH_TIMEOUT: '1' } });
  await kit.database.db.query(
    sql`INSERT INTO variable (key, val) SELECT repeat('a', 240) || n, 'v' FROM generate_series(1, ${ROWS}) n`,
  );
});
after(() => kit[Symbol.asyncDispose]());

const searching = async () =>
  kit.database.db.query(
    sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%v.key ILIKE%'
      AND pid <> pg_backend_pid()`,
  );

test('a pattern that would take seconds over all rows is stopped in time, with a remedy; a harmless one finds its row', async () => {
  const path = (pattern: string) => `/variables?limit=1&variable_key_pattern=${encodeURIComponent(pattern)}`;
  for (const pattern of [HOSTILE, Array(8).fill(HOSTILE).join('|')]) {
    const answer = await kit.as.op('GET', path(pattern));
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.headers.get('airlock-error'), 'SEARCH_TOO_LONG');
    assert.deepEqual(answer.body, { detail: 'The search was stopped after 1 seconds.' });
    assert.match(answer.headers.get('airlock-remedy')!, /shorter pattern/);
    kit.clock.shift(10_000); // what it took was charged
  }
  const found = await kit.as.op('GET', path('A1234|b'));
  assert.equal(found.status, 200, found.text);
  assert.equal(found.body.total_entries, 11);
  const wild = await kit.as.op('GET', path('a_0%9'));
  assert.equal(wild.status, 200);
});

test('while one user sends the worst patterns, two connections are busy at most, and everybody else is answered', async (t) => {
  kit.clock.shift(10_000);
  const gone = new AbortController();
  const token = await kit.tokenOf('op');
  const url = `${kit.base}/api/v2/variables?variable_key_pattern=${HOSTILE}`;
  const hostile = Array.from({ length: 30 }, () =>
    fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: gone.signal }).then(
      async (answer) => ({ status: answer.status, text: await answer.text() }),
      () => null,
    ),
  );
  await waitFor('a search runs', async () => (await searching()).length > 0);
  let most = 0;
  for (let i = 0; i < 20; i++) {
    const answer = await kit.as.admin('GET', '/variables?limit=5');
    assert.equal(answer.status, 200);
    const search = i === 10 ? await kit.as.user('GET', '/pools?pool_name_pattern=default') : null;
    if (search) assert.equal(search.body.total_entries, 1, 'a search of another user has its turn');
    most = Math.max(most, (await searching()).length);
  }
  gone.abort();
  const refused = (await Promise.all(hostile)).filter((answer) => answer !== null);
  for (const { status } of refused) assert.ok([400, 429].includes(status), String(status));
  assert.ok(
    refused.some(({ status }) => status === 429),
    'more than a few in a row are told to come back',
  );
  assert.ok(most <= 1, `one user ran ${most} searches at once`);
  await waitFor('no search runs on', async () => (await searching()).length === 0);
  t.diagnostic(`30 hostile searches at once: ${most} ran at a time, 20 of 20 other requests were answered`);
});

test('every pattern of every list is refused beyond 32 alternatives, 32 wildcards and 2,000 characters', async (t) => {
  const over = {
    pattern_too_complex: [Array(33).fill('a').join('|'), 'a%'.repeat(32)],
    string_too_long: ['x'.repeat(2001)],
  };
  const within = [Array(32).fill('a').join('|'), 'a%'.repeat(31), 'x'.repeat(2000)];
  let refused = 0;
  let names = 0;
  for (const route of REST_ROUTES) {
    const patterns = Object.keys(route.query?.shape ?? {}).filter((name) => name.endsWith('_pattern'));
    const path = route.path.replace(/:\w+/g, '~');
    for (const name of patterns) {
      names++;
      for (const [type, values] of Object.entries(over)) {
        for (const value of values) {
          kit.clock.shift(1000);
          const answer = await kit.as.admin('GET', `${path}?${new URLSearchParams({ [name]: value })}`);
          assert.deepEqual([answer.status, answer.body.detail[0]?.type], [422, type], `${route.path} ${name}`);
          assert.deepEqual(answer.body.detail[0].loc, ['query', name]);
          refused++;
        }
      }
    }
    // The control: what is just within the bounds is looked for.
    const [first] = patterns;
    for (const value of first === undefined ? [] : within) {
      kit.clock.shift(1000);
      const answer = await kit.as.admin('GET', `${path}?${new URLSearchParams({ [first!]: value })}`);
      assert.ok([200, 400, 404].includes(answer.status), `${route.path} ${first} ${answer.text.slice(0, 200)}`);
    }
  }
  t.diagnostic(`${names} patterns of lists, ${refused} refused`);
  assert.ok(names >= 50);
});
