import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const line = (event: string) => `${JSON.stringify({ timestamp: 't', level: 'info', event, logger: 'task' })}\n`;
const append = async (
  server: Server,
  ti: Try,
  offset: number | string,
  body: string | Uint8Array,
  token = ti.token,
) => {
  const answer = await server.call('POST', `/task-instances/${ti.id}/logs?offset=${offset}`, {
    key: ti.key,
    token,
    body,
    headers: { 'content-type': 'application/x-ndjson' },
  });
  return [answer.status, answer.status === 200 || answer.status === 409 ? answer.json<{ size: number }>().size : null];
};
const fileOf = (server: Server, ti: Try) =>
  join(server.home, 'logs', `dag_id=${ti.run.dagId}`, `run_id=${ti.run.runId}`, 'task_id=extract', 'attempt=1.log');

test('chunks are appended, repeats and overlaps dropped, gaps told with the size', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const [a, b] = [line('first'), line('second')];
  assert.deepEqual(await append(server, ti, 0, a), [200, a.length]);
  assert.deepEqual(await append(server, ti, 0, a), [200, a.length]);
  assert.deepEqual(await append(server, ti, a.length + 1, b), [409, a.length]);
  assert.deepEqual(await append(server, ti, a.length, b), [200, a.length + b.length]);
  assert.deepEqual(await append(server, ti, 0, a + b + a), [200, 2 * a.length + b.length]);
  assert.equal(await readFile(fileOf(server, ti), 'utf8'), a + b + a);
});

test('chunks that arrive together end up whole and once', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const chunks = Array.from({ length: 20 }, (_, i) => line(`n${i}`.padEnd(10)));
  const size = chunks[0]!.length;
  let pending = chunks.map((chunk, i) => ({ chunk, offset: i * size }));
  while (pending.length > 0) {
    const done = await Promise.all(
      [...pending, ...pending].map(async (each) =>
        (await append(server, ti, each.offset, each.chunk))[0] === 200 ? each : null,
      ),
    );
    pending = pending.filter((each) => !done.includes(each));
  }
  assert.equal(await readFile(fileOf(server, ti), 'utf8'), chunks.join(''));
});

test('the next stretch of a try goes on where the last one ended, counting from 0 again', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const [a, b] = [line('poke 1'), line('poke 2')];
  await append(server, ti, 0, a);
  await server.call('PATCH', `/task-instances/${ti.id}/state`, {
    key: ti.key,
    token: ti.token,
    json: { state: 'up_for_reschedule', end_date: '2026-07-01T00:00:00Z', reschedule_date: '2026-07-01T00:00:00Z' },
  });
  await server.db.query(sql`UPDATE task_instance SET state = 'queued' WHERE id = ${ti.id}`);
  const [workload] = await server.claim(ti.worker);
  const next = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
    key: ti.key,
    token: workload!.token,
    json: server.runBody(),
  });
  const token = next.headers.get('refreshed-api-token')!;
  assert.deepEqual(await append(server, ti, 0, b, token), [200, b.length]);
  assert.deepEqual(await append(server, ti, 0, b, token), [200, b.length]);
  assert.deepEqual((await append(server, ti, 0, a))[0], 403, 'the old stretch’s token');
  assert.equal(await readFile(fileOf(server, ti), 'utf8'), a + b);
});

test('a log above its limit is 413, and what was written stays', async () => {
  await using server = await startExecutionApi({ AIRLOCK__LOGGING__MAX_LOG_BYTES: '4096' });
  const ti = await server.startTry();
  assert.deepEqual(await append(server, ti, 0, 'x'.repeat(4096)), [200, 4096]);
  assert.equal((await append(server, ti, 4096, 'x'))[0], 413);
  assert.equal((await readFile(fileOf(server, ti))).length, 4096);
});

test('a bad offset is 422 and an oversized chunk 413, before anything is written', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  for (const offset of ['', '-1', 'x', '1.5', '99999999999999'])
    assert.equal((await append(server, ti, offset, 'x'))[0], 422, offset);
  assert.equal((await append(server, ti, 0, 'x'.repeat(4 * 1024 * 1024 + 1)))[0], 413);
  assert.deepEqual(await readdir(server.home).then((names) => names.includes('logs')), false);
});

test('names made to climb out of the folder stay beneath it', async () => {
  await using server = await startExecutionApi();
  const before = (await readdir(server.home)).filter((name) => name !== 'logs');
  for (const [dagId, taskId] of [
    ['../../../../escape', '..'],
    ['/etc/passwd', '.'],
    ['a/../../b', 'x/y'],
    ['nul%00', '%2e%2e%2f'],
    ['é'.repeat(200), 'long'],
    ['spaces and "quotes"', "it's*(!)"],
  ] as const) {
    const run = await server.seedRun(dagId);
    const ti = await server.startTry({ taskId }, run);
    assert.deepEqual(await append(server, ti, 0, 'ok\n'), [200, 3], dagId);
  }
  const files = (await readdir(join(server.home, 'logs'), { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  assert.equal(files.length, 6);
  assert.deepEqual((await readdir(server.home)).sort(), [...before, 'logs'].sort());
});

for (const [name, plant] of Object.entries<(server: Server, ti: Try, outside: string) => Promise<void>>({
  'the folder of the Dag': async (server, ti, outside) => {
    await mkdir(join(server.home, 'logs'));
    await symlink(outside, join(server.home, 'logs', `dag_id=${ti.run.dagId}`));
  },
  'a folder further down': async (server, ti, outside) => {
    await mkdir(join(server.home, 'logs', `dag_id=${ti.run.dagId}`), { recursive: true });
    await symlink(outside, join(server.home, 'logs', `dag_id=${ti.run.dagId}`, `run_id=${ti.run.runId}`));
  },
  'the file itself': async (server, ti, outside) => {
    const file = fileOf(server, ti);
    await mkdir(join(file, '..'), { recursive: true });
    await symlink(join(outside, 'secret'), file);
  },
})) {
  test(`a link planted at ${name} is not followed`, async () => {
    await using server = await startExecutionApi();
    const ti = await server.startTry();
    const outside = join(server.home, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'untouched');
    await plant(server, ti, outside);
    assert.equal((await append(server, ti, 0, 'evil\n'))[0], 500);
    assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'untouched');
    assert.deepEqual(await readdir(outside), ['secret']);
  });
}
