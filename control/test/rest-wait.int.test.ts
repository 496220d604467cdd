/** Waiting for the end of a run over one request. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { changeAccount } from '../src/api/auth/accounts.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let token: string;
const db = () => kit.database.db;

before(async () => {
  kit = await restKit();
  token = await kit.tokenOf('viewer');
  await withBundle(db());
  await ingest(db(), 'd.ts', [dagDocument('d', [{ id: 'a' }, { id: 'm' }])], new Date().toISOString());
});
after(() => kit[Symbol.asyncDispose]());

let serial = 0;
async function newRun(): Promise<string> {
  const runId = `r${++serial}`;
  const answer = await kit.as.user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: runId });
  assert.equal(answer.status, 200);
  return runId;
}
const setState = (run: string, state: string) =>
  db().query(sql`UPDATE dag_run SET state = ${state} WHERE run_id = ${run}`);

type Stream = { readonly response: Response; readonly next: () => Promise<unknown>; readonly stop: () => void };

/** Reads the answer line by line; `next` gives null at its end. */
async function open(path: string, bearer = token): Promise<Stream> {
  const abort = new AbortController();
  const response = await fetch(`${kit.base}/api/v2${path}`, {
    headers: { authorization: `Bearer ${bearer}` },
    signal: abort.signal,
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  const next = async (): Promise<unknown> => {
    for (;;) {
      const end = rest.indexOf('\n');
      if (end >= 0) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        return JSON.parse(line);
      }
      const { value, done } = await reader.read();
      if (done) return null;
      rest += value;
    }
  };
  return { response, next, stop: () => abort.abort() };
}
/** Skips lines until one of that state; null when the stream ends before. */
async function until(stream: Stream, state: string): Promise<Record<string, unknown> | null> {
  for (;;) {
    const line = (await stream.next()) as Record<string, unknown> | null;
    if (line === null || line.state === state) return line;
  }
}
const at = (run: string, query = 'interval=0.1') => `/dags/d/dagRuns/${run}/wait?${query}`;

test('a line per look until the run has ended, then nothing', async () => {
  const run = await newRun();
  const stream = await open(at(run));
  assert.equal(stream.response.status, 200);
  assert.equal(stream.response.headers.get('content-type'), null);
  assert.deepEqual(await stream.next(), { state: 'queued' });
  assert.deepEqual(await stream.next(), { state: 'queued' });
  await setState(run, 'running');
  assert.deepEqual(await until(stream, 'running'), { state: 'running' });
  await setState(run, 'failed');
  assert.deepEqual(await until(stream, 'failed'), { state: 'failed' });
  assert.equal(await stream.next(), null);
});

test('results: what the Dag names, or the tasks that are asked for; lists of mapped ones, digits kept', async () => {
  const run = await newRun();
  const put = (task: string, index: number, value: string, result: boolean) =>
    db().query(
      sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, dag_result, at)
        SELECT id, ${task}, ${index}, 'return_value', 'd', ${run}, ${value}::json, ${result}, ${new Date().toISOString()}
        FROM dag_run WHERE run_id = ${run}`,
    );
  await put('a', -1, '12345678901234567890', true);
  await put('m', 1, '"two"', false);
  await put('m', 0, '"one"', false);
  await setState(run, 'success');
  const text = async (query: string) => {
    const response = await fetch(`${kit.base}/api/v2${at(run, query)}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return response.text();
  };
  assert.equal(await text('interval=1'), '{"state":"success","results":{"a":12345678901234567890}}\n');
  assert.equal(await text('interval=1&result=m'), '{"state":"success","results":{"m":["one","two"]}}\n');
  assert.equal(await text('interval=1&result=zz'), '{"state":"success"}\n');
});

test('the interval is required and above zero, and the run must be there', async () => {
  const run = await newRun();
  const get = (path: string) => kit.as.viewer('GET', path);
  for (const query of ['', 'interval=0', 'interval=-1', 'interval=soon', 'interval=NaN']) {
    const { status, body } = await get(at(run, query));
    assert.deepEqual([status, body.detail[0].loc], [422, ['query', 'interval']], query);
  }
  const absent = await get(at('absent'));
  assert.deepEqual(
    [absent.status, absent.body.detail],
    [404, 'The DagRun with dag_id: `d` and run_id: `absent` was not found'],
  );
});

test('one user holds at most 20 such requests; another is not hindered, and who leaves makes room', async () => {
  const run = await newRun();
  const streams = await Promise.all(Array.from({ length: 20 }, () => open(at(run))));
  const refused = await kit.as.viewer('GET', at(run));
  assert.deepEqual(
    [refused.status, refused.headers.get('retry-after'), refused.body],
    [429, '5', { detail: 'Too many requests wait for runs already.' }],
  );
  const other = await open(at(run), await kit.tokenOf('op'));
  assert.deepEqual(await other.next(), { state: 'queued' });
  streams[0]!.stop();
  await setState(run, 'success');
  const again = async (): Promise<number> => (await kit.as.viewer('GET', at(run))).status;
  for (let i = 0; i < 100 && (await again()) === 429; i++) await new Promise((done) => setTimeout(done, 50));
  assert.equal(await again(), 200);
  for (const stream of [...streams.slice(1), other])
    assert.deepEqual(await until(stream, 'success'), { state: 'success' });
});

test('a server that stops does not wait for those who wait', async () => {
  const run = await newRun();
  const { base, [Symbol.asyncDispose]: close } = await kit.replica();
  const response = await fetch(`${base}/api/v2${at(run, 'interval=3600')}`, {
    headers: { authorization: `Bearer ${await kit.tokenOf('op')}` },
  });
  const text = response.text();
  await close();
  assert.equal(await text, '{"state":"queued"}\n');
});

test('whoever loses his right, and a run that is deleted, end the stream without a last line', async () => {
  const run = await newRun();
  const [disabled, control] = [await open(at(run)), await open(at(run), await kit.tokenOf('op'))];
  for (const stream of [disabled, control]) assert.deepEqual(await stream.next(), { state: 'queued' });
  await changeAccount(kit.deps, 'test', 'viewer', { disabled: true });
  assert.equal(await until(disabled, 'success'), null);
  await setState(run, 'success');
  assert.deepEqual(await until(control, 'success'), { state: 'success' });
  const gone = await newRun();
  const orphan = await open(at(gone), await kit.tokenOf('op'));
  await orphan.next();
  await db().query(sql`DELETE FROM dag_run WHERE run_id = ${gone}`);
  assert.equal(await until(orphan, 'success'), null);
});
