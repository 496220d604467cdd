/** What the relay of a Python try passes on, what it answers itself, and what it refuses; each refusal beside what goes through. */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { CallOptions, ExecutionAnswer } from '../src/client/index.ts';
import { type Relay, relayedPath, startRelay } from '../src/python/relay.ts';
import { Masker } from '../src/task/mask.ts';

const ID = '01a218ae-9d9d-70a8-b9aa-3b4dc0736eac';
const OTHER = '01a218ae-9d9d-70a8-b9aa-3b4dc0736ead';
const PLACE = { hostname: 'worker-1', unixname: 'airlock', pid: 4242 };
const END = '2026-01-01T00:00:00+00:00';

type Upstream = { status: number; body?: string; headers?: Record<string, string> };
type Seen = Pick<CallOptions, 'method' | 'path' | 'headers' | 'contentType'> & { body: string; token: string };

async function relayTo(answer: (call: Seen) => Upstream | Error) {
  const seen: Seen[] = [];
  const reports: string[] = [];
  const masker = new Masker(5);
  const relay: Relay = await startRelay({
    client: {
      async call(options) {
        const { method, path, headers, contentType, body, token } = options;
        const one = {
          method,
          path,
          headers,
          contentType,
          token: token.current,
          body: Buffer.from(body ?? '').toString(),
        };
        seen.push(one as Seen);
        const given = answer(one as Seen);
        if (given instanceof Error) throw given;
        token.current = 'renewed';
        const text = given.body ?? '';
        return {
          status: given.status,
          headers: { 'refreshed-api-token': 'secret', ...given.headers },
          attempts: 1,
          body: Buffer.from(text),
          text: () => text,
          json: <T>() => JSON.parse(text) as T,
        } satisfies ExecutionAnswer;
      },
    },
    token: { current: 'execution-token' },
    ti: { id: ID } as never,
    place: PLACE,
    masker,
    onReport: (report) => reports.push(report.state),
  });
  const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    fetch(relay.url + path, {
      method,
      headers: {
        authorization: `Bearer ${relay.bearer}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  return { relay, seen, reports, masker, ask, [Symbol.asyncDispose]: () => relay.close() };
}

const fine = () => ({ status: 200, body: '{"key":"k","value":"v"}' });

test('a request goes out with the token of the try, and comes back without a token', async () => {
  await using at = await relayTo(fine);
  const answer = await at.ask('GET', 'variables/k', undefined, { 'airflow-api-version': '2026-06-30', cookie: 'x=1' });
  equal(answer.status, 200);
  deepEqual(await answer.json(), { key: 'k', value: 'v' });
  equal(answer.headers.get('refreshed-api-token'), null);
  equal(answer.headers.get('content-type'), 'application/json');
  const [call] = at.seen;
  equal(call!.token, 'execution-token');
  deepEqual(call!.headers, { 'airflow-api-version': '2026-06-30' });
});

test("who has not this relay's bearer gets nothing, and nothing is passed on", async () => {
  await using at = await relayTo(fine);
  await using another = await relayTo(fine);
  const { bearer } = at.relay;
  for (const authorization of [
    '',
    'Bearer',
    'Bearer ',
    bearer,
    `Bearer ${bearer}x`,
    `Bearer ${bearer.slice(0, -1)}`,
    `DPoP ${bearer}`,
    `Bearer ${another.relay.bearer}`,
    'Bearer execution-token',
    `bearer  ${bearer}`,
  ]) {
    // biome-ignore format: a list
    const answer = await at.ask('GET', 'variables/k', undefined, { authorization });
    equal(answer.status, 401, authorization);
  }
  equal(at.seen.length, 0);
  equal((await at.ask('GET', 'variables/k')).status, 200, 'control');
});

test('only the routes of a task are passed on', async () => {
  const refused = [
    'supervisors', `supervisors/${ID}/heartbeat`, 'workloads/claim', `workloads/${ID}/exit`, `dag-modules/${ID}`, 'bundles',
    'bundles/b/file', `task-instances/${ID}/logs?offset=0`, `task-instances/${ID}/LOGS`, 'health', '', 'connection-tests/1',
    'xcoms/../supervisors', 'xcoms/%2e%2e/supervisors', 'xcoms/.%2E/x', 'xcoms/d/./r', 'xcoms\\..\\supervisors', '/variables/k',
  ]; // biome-ignore format: a list
  for (const path of refused) equal(relayedPath(`/execution/${path}`, ID), null, path);
  equal(relayedPath('/api/v2/variables', ID), null);
  const open = [
    'variables/k', 'variables/a/b', 'connections/c', 'xcoms/d/manual__2026-01-01T00:00:00+00:00/t/return_value?map_index=1',
    `task-instances/${ID}/rtif`, 'task-instances/count?dag_id=d', 'dag-runs/d/r', 'dags/d', 'assets/by-name?name=a',
    'asset-events/by-asset', `hitlDetails/${ID}`, `store/ti/${ID}/k`, `task-reschedules/${ID}/start_date`, 'xcoms/d/r/t/..a',
  ]; // biome-ignore format: a list
  for (const path of open) equal(relayedPath(`/execution/${path}`, ID), `/${path}`, path);
});

test('where the try runs is said by the worker, whatever the child says', async () => {
  await using at = await relayTo(() => ({ status: 200, body: '{}' }));
  const said = { state: 'running', hostname: 'elsewhere', unixname: 'root', pid: 7, start_date: END };
  equal((await at.ask('PATCH', `task-instances/${ID}/run`, said)).status, 200);
  deepEqual(JSON.parse(at.seen[0]!.body), { ...said, ...PLACE });
});

test('heartbeats are answered here: the worker sends its own', async () => {
  await using at = await relayTo(fine);
  equal((await at.ask('PUT', `task-instances/${ID}/heartbeat`, { hostname: 'h', pid: 1 })).status, 204);
  equal(at.seen.length, 0);
  await at.ask('PUT', `task-instances/${OTHER}/heartbeat`, { hostname: 'h', pid: 1 });
  equal(at.seen.length, 1, "control: that of another try is the server's to refuse");
});

test('a final report is taken once, kept, and not passed on; another one is refused as on the wire', async () => {
  await using at = await relayTo(fine);
  const report = { state: 'success', end_date: END, task_outlets: [], outlet_events: [], rendered_map_index: null };
  const path = `task-instances/${ID}/state`;
  equal((await at.ask('PATCH', path, report)).status, 204);
  equal((await at.ask('PATCH', path, report)).status, 200, 'the same again');
  const other = await at.ask('PATCH', path, { state: 'failed', end_date: END });
  equal(other.status, 409);
  equal(((await other.json()) as { detail: { previous_state: string } }).detail.previous_state, 'success');
  equal((await at.ask('PATCH', `task-instances/${ID}/run`, {})).status, 409);
  deepEqual(at.reports, ['success']);
  deepEqual(at.relay.report(), report);
  equal(at.seen.length, 0);
  equal((await at.ask('POST', 'xcoms/d/r/t/link', '"x"')).status, 200, 'what comes after it still works');
});

test("what an author's report holds keeps its numbers: Python tells 1.0 from 1", async () => {
  await using at = await relayTo(fine);
  at.masker.add('opensesame');
  const kwargs = '{"delta":1.0,"big":12345678901234567890}';
  const report = `{"state":"deferred","classpath":"a.B","trigger_kwargs":${kwargs},"next_method":"m","trigger_timeout":60.0}`;
  equal((await at.ask('PATCH', `task-instances/${ID}/state`, report)).status, 204);
  equal(JSON.stringify(at.relay.report()), report);
  const fields = `{"a":${kwargs},"b":"***"}`;
  await at.ask('PUT', `task-instances/${ID}/rtif`, fields.replace('***', 'opensesame'));
  equal(at.seen.at(-1)!.body, fields);
});

for (const [name, body] of [
  ['without its date', { state: 'success' }],
  ['with a word that is no state', { state: 'done', end_date: END }],
  ['with a further field', { state: 'failed', end_date: END, more: 1 }],
  ['with a date without a zone', { state: 'failed', end_date: '2026-01-01T00:00:00' }],
  ['that is no object', [1]],
  ['that is no JSON', '{'],
] as const) {
  test(`a report ${name} is the server's to judge, and ends nothing`, async () => {
    await using at = await relayTo(() => ({ status: 422, body: '{"detail":[]}' }));
    const answer = await at.ask('PATCH', `task-instances/${ID}/state`, body);
    equal(answer.status, 422);
    equal(at.relay.report(), null);
    deepEqual(at.reports, []);
  });
}

test('each state that the wire knows is taken', async () => {
  for (const report of [
    { state: 'failed', end_date: END },
    { state: 'skipped', end_date: END, rendered_map_index: 'x' },
    { state: 'up_for_retry', end_date: END, retry_delay_seconds: 1.5, retry_reason: 'r' },
    {
      state: 'deferred',
      classpath: 'a.B',
      next_method: 'm',
      trigger_kwargs: {},
      trigger_timeout: 'PT1M',
      next_kwargs: {},
    },
    { state: 'up_for_reschedule', reschedule_date: END, end_date: END },
    { state: 'awaiting_input', next_method: 'm', next_kwargs: {}, timeout: null },
  ]) {
    await using at = await relayTo(fine);
    equal((await at.ask('PATCH', `task-instances/${ID}/state`, report)).status, 204, report.state);
  }
});

test('an answer of the server arrives as it is; no answer is a 503 that the SDK repeats', async () => {
  await using at = await relayTo((call) =>
    call.path === '/variables/gone'
      ? { status: 404, body: '{"detail":{"reason":"not_found"}}' }
      : call.path === '/xcoms/d/r/t/k'
        ? { status: 200, headers: { 'content-range': 'map_indexes 3' } }
        : new Error('down'),
  );
  const gone = await at.ask('GET', 'variables/gone');
  equal(gone.status, 404);
  deepEqual(await gone.json(), { detail: { reason: 'not_found' } });
  equal((await at.ask('HEAD', 'xcoms/d/r/t/k')).headers.get('content-range'), 'map_indexes 3');
  equal((await at.ask('GET', 'variables/k')).status, 503);
});

test('a body above the bound is refused before it is read', async () => {
  await using at = await relayTo(fine);
  const answer = await at.ask('POST', 'xcoms/d/r/t/k', 'x'.repeat(18 * 1024 * 1024)).catch(() => null);
  ok(answer === null || answer.status === 413);
  equal(at.seen.length, 0);
  equal((await at.ask('POST', 'xcoms/d/r/t/k', 'x'.repeat(15 * 1024 * 1024))).status, 200, 'control');
});

test('what people are shown of a try holds none of its secrets: rendered fields, label, request to people and reason', async () => {
  const secret = 'open "sesame" ö';
  await using at = await relayTo((call) =>
    call.method === 'GET'
      ? { status: 200, body: JSON.stringify({ conn_id: 'c', password: secret, extra: null }) }
      : { status: 201 },
  );
  const shown = { command: `login -p '${secret}'`, env: [{ [secret]: Buffer.from(secret).toString('base64') }], n: 7 };
  // The control: what was not yet handed out is no secret.
  await at.ask('PUT', `task-instances/${ID}/rtif`, shown);
  deepEqual(JSON.parse(at.seen.at(-1)!.body), shown);
  await at.ask('GET', 'connections/c');
  // As Python writes it, with every letter beyond ASCII escaped.
  const ascii = (value: unknown) => JSON.stringify(value).replaceAll('ö', '\\u00f6');
  for (const [method, path, body] of [
    ['PUT', `task-instances/${ID}/rtif`, shown],
    ['PATCH', `task-instances/${ID}/rendered-map-index`, `of ${secret}`],
    ['POST', `hitlDetails/${ID}`, { ti_id: ID, options: ['Yes'], subject: secret, body: `Is ${secret} right?` }],
  ] as const) {
    for (const text of [JSON.stringify(body), ascii(body)]) {
      await at.ask(method, path, text);
      const sent = at.seen.at(-1)!.body;
      ok(sent.includes('***') && !/sesame/.test(sent) && !sent.includes(Buffer.from(secret).toString('base64')), sent);
    }
  }
  const fields = JSON.parse(at.seen.at(-5)!.body);
  equal(fields.n, 7);
  // An XCom is data: what a task hands on is not changed.
  await at.ask('POST', 'xcoms/d/r/t/k', JSON.stringify(secret));
  equal(JSON.parse(at.seen.at(-1)!.body), secret);
  await at.ask('PATCH', `task-instances/${ID}/state`, {
    state: 'up_for_retry',
    end_date: END,
    retry_reason: `bad ${secret}`,
  });
  equal((at.relay.report() as { retry_reason?: string }).retry_reason, 'bad ***');
});

test('secrets that pass through are masked in the log of the try, and so is the bearer', async () => {
  await using at = await relayTo((call) =>
    call.path === '/connections/c'
      ? { status: 200, body: '{"conn_id":"c","password":"opensesame","extra":"{\\"key\\":\\"inner-secret\\"}"}' }
      : { status: 200, body: '{"key":"api_token","value":"very-secret"}' },
  );
  await at.ask('GET', 'connections/c');
  await at.ask('GET', 'variables/api_token');
  const masked = at.masker.mask(`opensesame inner-secret very-secret ${at.relay.bearer} plain`);
  match(masked, /^\*+ \*+ \*+ \*+ plain$/);
});

test('a closed relay answers nobody', async () => {
  const at = await relayTo(fine);
  equal((await at.ask('GET', 'variables/k')).status, 200, 'control');
  await at.relay.close();
  const answer = await at.ask('GET', 'variables/k').catch(() => null);
  equal(answer, null);
});
