/** Callbacks that the server has started, whole: real HTTP, real sandboxed runners; what one may do, and how each ends. */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { waitFor } from '../../tests/kit/wait.ts';
import type { FakeCallback } from './kit/fake-server.ts';
import { startTestWorker, type TestWorker } from './kit/worker.ts';

const TI = {
  id: '0190f5e3-0000-7000-8000-000000000009',
  task_id: 't',
  map_index: -1,
  try_number: 2,
  max_tries: 3,
  dag_version_id: '0190f5e3-0000-7000-8000-000000000001',
  queue: 'typescript',
  hostname: 'h',
  state: 'failed',
  start_date: '2026-01-01T00:00:00Z',
  end_date: null,
};

/** A module whose Dag and task have callbacks with these bodies. */
function moduleOf(body: string): string {
  return `import { dag, callback, connection, result, variable } from '@airlock/sdk';
import * as fs from 'node:fs'; import * as cp from 'node:child_process';
void fs; void cp; void variable;
export default dag('d', {
  schedule: null, startDate: '2026-01-01',
  onFailure: callback({ needs: { hook: connection('hook'), rows: result('t'), sizes: result('each') }, run: async (context) => { ${body} } }),
  onSuccess: ({ reason }) => { console.log('succeeded', reason); },
  deadlines: [{ name: 'late', from: 'queued', within: '1h', call: ({ deadline }) => console.log('missed', deadline.name, deadline.at.toISOString()) }],
}, (d) => {
  d.task('t', {
    run: async () => { console.log('the body'); },
    onFailure: async ({ task, tryNumber }, error) => console.log('failed for good', task.taskId, tryNumber, error.message),
    onRetry: async (context, error) => console.log('again', error.message),
  })();
  d.task('each', { run: ({ n }) => n }).map({ n: [1, 2] });
});`;
}

async function runCallback(worker: TestWorker, body: string, more: Partial<FakeCallback> = {}) {
  const id = randomUUID();
  worker.server.connections.set('hook', { conn_id: 'hook', conn_type: 'http', host: 'h', password: 'canary-of-hook' });
  worker.server.addCallback({ id, module: moduleOf(body), ...more });
  await waitFor('the report of the callback', () => worker.server.callbackReports.has(id), { timeoutMs: 60_000 });
  return { id, ...worker.server.callbackReports.get(id)! };
}

test('a callback of a Dag knows the run, why it ended and what it declared; what it prints is masked and kept', async () => {
  await using worker = await startTestWorker();
  const { state, output, message } = await runCallback(
    worker,
    "console.log(context.run.runId, context.reason, context.needs.hook.password); context.log.info('told');",
  );
  equal(state, 'success', output);
  equal(message, null);
  match(output, /manual__2026-01-01T00:00:00\+00:00 task_failure/);
  match(output, /told/);
  doesNotMatch(output, /canary-of-hook/);
  ok(!worker.server.calls.some((call) => call.path.startsWith('/task-instances/')), 'it is no try');
});

test('the server says which callback runs: success, a task’s failure and retry, a deadline', async () => {
  await using worker = await startTestWorker();
  const success = await runCallback(worker, '', { order: { event: 'success', reason: 'success' } });
  match(success.output, /succeeded success/);
  const failure = await runCallback(worker, '', { order: { kind: 'task', reason: 'The host has died.', ti: TI } });
  match(failure.output, /failed for good t 2 The host has died\./);
  doesNotMatch(failure.output, /the body/);
  const retry = await runCallback(worker, '', { order: { kind: 'task', event: 'retry', reason: 'lost', ti: TI } });
  match(retry.output, /again lost/);
  const deadline = { id: TI.id, name: 'late', position: 0, deadline_time: '2026-01-01T01:00:00Z' };
  const missed = await runCallback(worker, '', {
    order: {
      kind: 'deadline',
      event: 'missed',
      reason: null,
      target: { path: 'airlock.deadlines.0', kwargs: {}, asynchronous: false, deadline },
    },
  });
  match(missed.output, /missed late 2026-01-01T01:00:00\.000Z/);
  deepEqual(
    [success, failure, retry, missed].map((one) => one.state),
    ['success', 'success', 'success', 'success'],
  );
});

for (const { name, body, order, why } of [
  { name: 'throws', body: "throw new TypeError('no such channel');", order: {}, why: /TypeError: no such channel/ },
  { name: 'ends its process', body: 'process.exit(3);', order: {}, why: /ended its own process with status 3/ },
  { name: 'is killed', body: "process.kill(process.pid, 'SIGKILL');", order: {}, why: /killed by SIGKILL/ },
  {
    name: 'is not in its file any more',
    body: '',
    order: { kind: 'task', event: 'retry', ti: { ...TI, task_id: 'gone' } },
    why: /has no task gone/,
  },
] as const) {
  test(`a callback that ${name} has failed, and says why`, async () => {
    await using worker = await startTestWorker();
    const { state, message } = await runCallback(worker, body, { order: order as FakeCallback['order'] });
    equal(state, 'failed');
    match(message ?? '', why);
    equal((await runCallback(worker, '')).state, 'success', 'the control: another one is run');
  });
}

test('a callback that never ends is killed at its limit', async () => {
  await using worker = await startTestWorker();
  const { state, message, output } = await runCallback(worker, "console.log('begun'); for (;;) {}", {
    timeoutSeconds: 1,
  });
  equal(state, 'failed');
  match(message ?? '', /ran longer than its timeout of 1 s/);
  match(output, /begun/);
});

const RUN = '/xcoms/d/manual__2026-01-01T00:00:00+00:00';

test('results that it needs are those of its run: one, the list of a fan-out, and undefined where a task has given none', async () => {
  await using worker = await startTestWorker();
  const show = "console.log(context.needs.rows?.n ?? 'none', context.needs.sizes.join('+'));";
  match((await runCallback(worker, show)).output, /"none "/);
  worker.server.xcoms.set(`${RUN}/t/return_value`, { n: 3 });
  worker.server.xcoms.set(`${RUN}/each/return_value`, [1, 2]);
  const { state, output } = await runCallback(worker, show);
  equal(state, 'success');
  match(output, /3 1\+2/);
});

test('a callback asks by its own routes alone, and never writes: what it says itself of a path or a value goes nowhere', async () => {
  await using worker = await startTestWorker();
  const frame = (json: string) =>
    `{ const t = Buffer.from(JSON.stringify(${json})); const b = Buffer.alloc(4); b.writeUInt32BE(t.length); fs.writeSync(3, Buffer.concat([b, t])); }`;
  const { id, state } = await runCallback(
    worker,
    `${frame("{ type: 'set_xcom', id: 900, key: 'return_value', value: 1 }")}
     ${frame("{ type: 'set_rendered_fields', id: 901, fields: {} }")}
     ${frame("{ type: 'skip_downstream', id: 902, tasks: ['t'] }")}
     ${frame("{ type: 'get_xcom', id: 903, task_id: '../../../../xcoms', key: 'k', map_index: -1 }")}
     ${frame("{ type: 'get_variable', id: 904, key: 'plain' }")}`,
  );
  equal(state, 'success');
  const ofWorker = /^\/(supervisors|workloads)\b/;
  const asked = () => worker.server.calls.filter(({ path }) => !ofWorker.test(path));
  // Frames are taken in their order: once the last has been asked for, the others never will be.
  await waitFor('the variable is asked for', () => asked().some(({ path }) => path.includes('variables')));
  for (const { method, path } of asked()) {
    ok(path.startsWith(`/callbacks/${id}/`), path);
    ok(method === 'GET' || /\/(run|state)$/.test(path), `${method} ${path}`);
  }
  const read = asked().flatMap(({ path }) => (path.includes('xcoms') ? [path.replace(`/callbacks/${id}`, '')] : []));
  deepEqual(read.map(decodeURIComponent).sort(), [
    `${RUN}/../../../../xcoms/k`,
    `${RUN}/each/return_value/slice`,
    `${RUN}/t/return_value`,
  ]);
});

test('what a callback printed is kept up to a bound, its end first', async () => {
  await using worker = await startTestWorker();
  const { state, output } = await runCallback(
    worker,
    "for (let i = 0; i < 5000; i++) console.log('line ' + i + ' ' + 'x'.repeat(100)); console.log('the last one');",
  );
  equal(state, 'success');
  ok(output.length <= 65_536);
  match(output, /the last one/);
  doesNotMatch(output, /line 0 /);
});

test('a task’s own callbacks run in its process, by how its try ended, and change nothing about that', async () => {
  await using worker = await startTestWorker();
  const run = async (body: string, shouldRetry = false) => {
    const id = randomUUID();
    const module = `import { dag, Skip, Fail } from '@airlock/sdk'; void Skip; void Fail;
export default dag('d', { schedule: null, startDate: '2026-01-01' }, (d) => {
  d.task('t', {
    run: async () => { ${body} },
    onSuccess: (context, value) => console.log('CALLED success', JSON.stringify(value)),
    onFailure: (context, error) => { console.log('CALLED failure', error.message); throw new Error('the callback broke'); },
    onRetry: (context, error) => console.log('CALLED retry', error.message),
    onSkip: (context, reason) => console.log('CALLED skip', reason),
  })();
});`;
    worker.server.add({ id, taskId: 't', module, shouldRetry });
    const { state, log } = await worker.outcome(id, 60_000);
    return { state, called: log.match(/CALLED .*/g) ?? [], log };
  };
  const success = await run('return { rows: 3 };');
  deepEqual([success.state, success.called], ['success', ['CALLED success {"rows":3}']]);
  const failed = await run("throw new Error('no rows');");
  deepEqual([failed.state, failed.called], ['failed', ['CALLED failure no rows']]);
  match(failed.log, /The callback onFailure failed: Error: the callback broke/);
  const again = await run("throw new Error('busy');", true);
  deepEqual([again.state, again.called], ['up_for_retry', ['CALLED retry busy']]);
  const never = await run("throw new Fail('wrong order');", true);
  deepEqual([never.state, never.called], ['failed', ['CALLED failure wrong order']]);
  const skipped = await run("throw new Skip('nothing new');");
  deepEqual([skipped.state, skipped.called], ['skipped', ['CALLED skip nothing new']]);
  const killed = await run("process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});");
  deepEqual([killed.state, killed.called], ['failed', []], 'the server starts that one');
});
