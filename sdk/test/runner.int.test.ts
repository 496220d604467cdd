import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTEXT, runTask, startChild } from './kit/child.ts';

/** A module as the parser makes it: one Dag `d` whose builder has the given body. */
const module = (body: string, options = '{}') =>
  `import { dag, connection, variable, Skip, Fail } from '@airlock/sdk';
export default dag('d', ${options}, (d) => { ${body} });`;
const single = (run: string, more = '') => module(`d.task('t', { run: ${run} ${more} })();`);
const failureOf = async (run: string) => {
  const { outcome } = await runTask(single(run), {});
  assert.equal(outcome?.state, 'failed');
  return outcome?.state === 'failed' ? outcome : assert.fail();
};

test('a runner says that it is idle before it knows its task, and ends when its parent is gone', async () => {
  const child = startChild('runner');
  await new Promise<void>((resolve) => {
    child.onFrame = () => resolve();
  });
  assert.equal(child.frames[0]?.type, 'idle');
  child.kill();
  await child.exited;
});

test('a task runs, its result is reported, and its process ends at once even with timers left', async () => {
  const { outcome, code, child } = await runTask(
    single(`async () => { setInterval(() => {}, 1000); console.log('hello'); return { n: [1, 'x', null] }; }`),
    {},
  );
  assert.deepEqual(outcome, { state: 'success', value: { n: [1, 'x', null] }, has_value: true, mapped_length: null });
  assert.equal(code, 0);
  assert.equal(child.stdout, 'hello\n');
});

test('all output arrives before the process ends', async () => {
  const { child } = await runTask(
    single(`async () => { for (let i = 0; i < 20000; i++) console.log('line ' + i + ' '.repeat(50)); }`),
    {},
  );
  assert.equal(child.stdout.trimEnd().split('\n').length, 20_000);
});

test('a body that returns nothing has no result', async () => {
  const { outcome } = await runTask(single('async () => {}'), {});
  assert.deepEqual(outcome, { state: 'success', has_value: false, mapped_length: null });
});

test('a body gets params with conf over their defaults, the run, its work folder and the time of its instants', async () => {
  const body = `d.task('t', { run: (_, c) => ({ params: c.params, run: c.run.runId, type: c.run.type, at: c.run.logicalDate.toISOString(),
    dir: c.workDir, tries: [c.tryNumber, c.task.maxTries, c.mapIndex], conf: c.run.conf }) })();`;
  const { outcome } = await runTask(
    module(body, `{ params: { day: 'x', n: 1, must: { schema: { type: 'string' } } } }`),
    {
      conf: { n: 2, must: 'm', other: true },
      try_number: 2,
      max_tries: 3,
    },
  );
  assert.deepEqual(outcome?.state === 'success' && outcome.value, {
    params: { day: 'x', n: 2, must: 'm' },
    run: 'manual__1',
    type: 'manual',
    at: '2026-01-01T00:00:00.000Z',
    dir: '/tmp',
    tries: [2, 4, -1],
    conf: { n: 2, must: 'm', other: true },
  });
});

test('log lines are frames with level and fields, whatever the fields hold', async () => {
  const { child } = await runTask(
    single(
      `async (_, { log }) => { const a = {}; a.a = a; log.info('hi', { n: 1, big: 1n, a, f: () => 1, u: undefined }); log.warn('careful'); log.error('bad'); log.debug('d'); }`,
    ),
    {},
  );
  const lines = child.frames.flatMap((frame) => (frame.type === 'log' ? [frame] : []));
  assert.deepEqual(
    lines.map((line) => [line.level, line.event]),
    [
      ['info', 'hi'],
      ['warning', 'careful'],
      ['error', 'bad'],
      ['debug', 'd'],
    ],
  );
  assert.equal(lines[0]!.fields?.n, 1);
  assert.equal(lines[0]!.fields?.big, '1');
  assert.match(String(lines[0]!.fields?.a), /Circular/);
});

test('fields that are larger than a frame are dropped, and the line stays', async () => {
  const { outcome, child } = await runTask(
    single(
      `async (_, { log }) => { const f = {}; for (let i = 0; i < 200; i++) f['k' + i] = 'x'.repeat(150000); log.info('big', f); return 1; }`,
    ),
    {},
  );
  assert.equal(outcome?.state, 'success');
  const line = child.frames.find((frame) => frame.type === 'log');
  assert.deepEqual([line?.event, line?.fields], ['big', { dropped: 'the fields were too large' }]);
});

test('inputs are asked for once each, all at the same time, and shown', async () => {
  const asked: string[] = [];
  const body = `const a = d.task('a', { run: () => 1 })(), b = d.task('b', { run: () => [] })();
    d.task('t', { run: (input) => input })({ x: a, deep: { list: [a, 2, b] }, plain: 'p' });`;
  const { outcome, child } = await runTask(module(body), {}, (request) => {
    asked.push(request.type === 'get_xcom' ? `${request.task_id}/${request.key}/${request.map_index}` : request.type);
    if (request.type === 'get_xcom') return { value: request.task_id === 'a' ? 1 : ['r'] };
    return { value: null };
  });
  assert.deepEqual(outcome?.state === 'success' && outcome.value, { x: 1, deep: { list: [1, 2, ['r']] }, plain: 'p' });
  assert.deepEqual(asked, ['a/return_value/-1', 'b/return_value/-1', 'set_rendered_fields']);
  const shown = child.frames.find((frame) => frame.type === 'set_rendered_fields');
  assert.deepEqual(shown?.fields, { input: { x: 1, deep: { list: [1, 2, ['r']] }, plain: 'p' } });
});

test('a task without input asks for nothing', async () => {
  const { child } = await runTask(single('async () => 1'), {});
  assert.deepEqual(
    child.frames.map((frame) => frame.type),
    ['idle', 'result'],
  );
});

test('a refusal to show the input does not fail the task', async () => {
  const body = `d.task('t', { run: (input) => input.n })({ n: 1 });`;
  const { outcome, child } = await runTask(module(body), {}, () => ({ status: 500 }));
  assert.equal(outcome?.state, 'success');
  assert.ok(child.frames.some((frame) => frame.type === 'log' && frame.level === 'warning'));
});

test('a reducer gets the list of a mapped task, and a mapped task the elements of a mapped one', async () => {
  const body = `const list = d.task('list', { run: () => [] })();
    const load = d.task('load', { run: (i) => i.n }).map({ n: list });
    d.task('again', { run: (i) => i.n }).map({ n: load });
    d.task('t', { run: (i) => i.rows })({ rows: load });`;
  const slices = (request: { type: string }) =>
    request.type === 'get_xcom_slice' ? { value: [10, 20, 30] } : { value: null };
  const reducer = await runTask(module(body), {}, slices);
  assert.deepEqual(reducer.outcome?.state === 'success' && reducer.outcome.value, [10, 20, 30]);
  const again = await runTask(module(body), { task_id: 'again', map_index: 1 }, slices);
  assert.equal(again.outcome?.state === 'success' && again.outcome.value, 20);
});

test('the elements of a product come in order, the last list varying fastest', async () => {
  const body = `d.task('t', { run: (i) => i }).with({ c: 'const' }).map({ z: ['a', 'b'], y: [1, 2, 3] });`;
  const seen: unknown[] = [];
  for (const map_index of [0, 1, 2, 3, 5]) {
    const { outcome } = await runTask(module(body), { map_index }, () => ({ value: null }));
    seen.push(outcome?.state === 'success' && outcome.value);
  }
  const of = (z: string, y: number) => ({ c: 'const', z, y });
  assert.deepEqual(seen, [of('a', 1), of('a', 2), of('a', 3), of('b', 1), of('b', 3)]);
});

test('more elements than the limit, or an element that is not there, fail without retry', async () => {
  const body = `d.task('t', { run: (i) => i }).map({ z: [1, 2, 3] }, { limit: 2 }); d.task('u', { run: (i) => i }).map({ z: [1] });`;
  const over = await runTask(module(body), { map_index: 0 });
  assert.ok(
    over.outcome?.state === 'failed' &&
      !over.outcome.retryable &&
      /would run 3 times; its limit is 2/.test(over.outcome.error.message),
  );
  const beyond = await runTask(module(body), { task_id: 'u', map_index: 1 });
  assert.ok(
    beyond.outcome?.state === 'failed' &&
      !beyond.outcome.retryable &&
      /no element number 1/.test(beyond.outcome.error.message),
  );
});

test('a task that is mapped over reports the length of its list, and fails when it returns none', async () => {
  const of = (run: string) =>
    module(`const t = d.task('t', { run: ${run} })(); d.task('m', { run: (i) => i }).map({ n: t });`);
  const good = await runTask(of('() => [1, 2]'), {});
  assert.deepEqual(good.outcome, { state: 'success', value: [1, 2], has_value: true, mapped_length: 2 });
  for (const run of ['() => 5', '() => ({ a: 1 })', '() => {}']) {
    const { outcome } = await runTask(of(run), {});
    assert.ok(outcome?.state === 'failed' && /maps over/.test(outcome.error.message), run);
  }
});

test('needs arrive as values; a variable may have a default or be JSON', async () => {
  const body = `d.task('t', { needs: { w: connection('wh'), fs: connection('out'), r: variable('region'), d: variable('gone', { default: 'x' }), j: variable('cfg', { json: true }) },
    run: (_, { needs }) => needs })();`;
  const { outcome } = await runTask(module(body), {}, (request) => {
    if (request.type === 'get_variable') {
      return request.key === 'gone' ? { status: 404 } : { value: request.key === 'cfg' ? '{"a":[1]}' : 'eu' };
    }
    if (request.type !== 'get_connection') return { value: null };
    return {
      value: {
        conn_id: request.conn_id,
        conn_type: request.conn_id === 'out' ? 'fs' : 'pg',
        host: 'h',
        port: 5,
        extra: '{"path":"/out"}',
      },
    };
  });
  const rest = { host: 'h', login: null, password: null, port: 5, schema: null, extra: { path: '/out' } };
  assert.deepEqual(outcome?.state === 'success' && outcome.value, {
    w: { id: 'wh', type: 'pg', ...rest },
    fs: { id: 'out', type: 'fs', ...rest, path: '/out' },
    r: 'eu',
    d: 'x',
    j: { a: [1] },
  });
});

test('a need that is missing or refused fails the task before its body runs, and says why', async () => {
  const body = `d.task('t', { needs: { r: variable('region') }, run: () => console.log('ran') })();`;
  const missing = await runTask(module(body), {}, () => ({ status: 404 }));
  assert.ok(
    missing.outcome?.state === 'failed' && /Variable region does not exist/.test(missing.outcome.error.message),
  );
  const refused = await runTask(module(body), {}, () => ({ status: 403 }));
  assert.ok(
    refused.outcome?.state === 'failed' && /refused with 403.*NOT_ENTITLED/.test(refused.outcome.error.message),
  );
  assert.equal(missing.child.stdout + refused.child.stdout, '');
});

test('results that are not JSON are named with their place', async () => {
  const cases: Array<[string, RegExp]> = [
    ['() => () => 1', /The result is the function/],
    ['() => ({ a: [Symbol("s")] })', /at \$\.a\[0\], is a symbol/],
    ['() => [undefined]', /at \$\[0\], is undefined/],
    ['() => 10n', /BigInt/],
    ['() => { const a = {}; a.self = a; return a; }', /at \$\.self, is a reference/],
    ['() => new Date(0)', /Date.*toISOString/],
    ['() => NaN', /NaN/],
  ];
  for (const [run, message] of cases) assert.match((await failureOf(run)).error.message, message, run);
});

test('a result of 100 MB is refused with the limit', async () => {
  const { error } = await failureOf(`() => 'x'.repeat(100 * 1024 * 1024)`);
  assert.match(error.message, /The result is 100\.0 MiB as JSON; the limit is 16 MiB/);
});

test('a result just below the limit passes whole', async () => {
  const { outcome } = await runTask(single(`() => 'x'.repeat(16 * 1024 * 1024 - 4096)`), {});
  assert.equal(outcome?.state === 'success' && (outcome.value as string).length, 16 * 1024 * 1024 - 4096);
});

test('a body that throws fails, with retry; Fail without; Skip skips', async () => {
  const thrown = await failureOf(`async () => { throw new TypeError('no such row', { cause: new Error('inner') }); }`);
  assert.equal(thrown.retryable, true);
  assert.equal(thrown.error.name, 'TypeError');
  assert.match(thrown.error.stack, /TypeError: no such row[\s\S]*Caused by: Error: inner/);
  assert.ok(!/node:internal|\/runner\//.test(thrown.error.stack), thrown.error.stack);
  const failed = await failureOf(`async () => { throw new Fail('wrong order'); }`);
  assert.deepEqual([failed.retryable, failed.error.message], [false, 'wrong order']);
  const { outcome } = await runTask(single(`async () => { throw new Skip('nothing to do'); }`), {});
  assert.deepEqual(outcome, { state: 'skipped', reason: 'nothing to do' });
});

test('what is thrown need not be an error', async () => {
  for (const [value, text] of [
    ["'text'", 'text'],
    ['null', 'null'],
    ['undefined', 'undefined'],
    ['{ a: 1 }', '{"a":1}'],
  ]) {
    assert.equal((await failureOf(`async () => { throw ${value}; }`)).error.message, text);
  }
  assert.match(
    (await failureOf(`async () => { throw { get toJSON() { throw 1; } }; }`)).error.message,
    /could not be turned into text/,
  );
});

test('a rejection that nobody awaits, or an error in a timer, fails the task', async () => {
  assert.match(
    (await failureOf(`async () => { Promise.reject(new Error('lost')); await new Promise(() => {}); }`)).error.message,
    /lost/,
  );
  assert.match(
    (await failureOf(`async () => { setTimeout(() => { throw new Error('late'); }, 1); await new Promise(() => {}); }`))
      .error.message,
    /late/,
  );
});

test('a body that ends the process is a failure that says so', async () => {
  const { error, retryable } = await failureOf(`async () => { process.exit(7); }`);
  assert.match(error.message, /ended its own process with status 7/);
  assert.equal(retryable, true);
});

test('a cancel aborts the signal, and the body may still end in good order', async () => {
  const child = startChild('runner');
  child.onFrame = (frame) => {
    if (frame.type === 'log') child.send({ type: 'cancel', reason: 'timed out' });
  };
  const code = single(
    `async (_, { log, signal }) => { log.info('ready'); await new Promise((r) => signal.addEventListener('abort', r)); throw signal.reason; }`,
  );
  child.send({
    type: 'start',
    module: { hash: '0'.repeat(64), code, filename: 'a.ts' },
    context: CONTEXT,
    work_dir: '/tmp',
  });
  await child.exited;
  const result = child.frames.find((frame) => frame.type === 'result');
  assert.ok(result?.outcome.state === 'failed' && result.outcome.error.message === 'timed out');
});

test('a sensor succeeds, asks to be looked at again, or runs out of time', async () => {
  const sensor = (check: string) => module(`d.sensor('t', { every: '5s', timeout: '1h', check: ${check} })();`);
  const start_date = new Date().toISOString();
  const ready = await runTask(sensor('async () => true'), { start_date });
  assert.deepEqual(ready.outcome, { state: 'success', has_value: false, mapped_length: null });
  const waiting = await runTask(sensor('() => false'), { start_date });
  assert.deepEqual(waiting.outcome, { state: 'reschedule', after_seconds: 5 });
  const late = await runTask(sensor('() => false'), { start_date: new Date(Date.now() - 3_600_001).toISOString() });
  assert.ok(
    late.outcome?.state === 'failed' &&
      !late.outcome.retryable &&
      /its timeout is 3600 s/.test(late.outcome.error.message),
  );
  const wrong = await runTask(sensor('() => "yes"'), { start_date });
  assert.ok(wrong.outcome?.state === 'failed' && /true or false/.test(wrong.outcome.error.message));
});

test('a module without the Dag, without the task, or that throws, fails the try', async () => {
  const noDag = await runTask(single('() => 1'), { dag_id: 'other' });
  assert.ok(noDag.outcome?.state === 'failed' && /exports no Dag other/.test(noDag.outcome.error.message));
  const noTask = await runTask(single('() => 1'), { task_id: 'other' });
  assert.ok(noTask.outcome?.state === 'failed' && /has no task other/.test(noTask.outcome.error.message));
  const broken = await runTask(`throw new Error('at import');`, {});
  assert.ok(broken.outcome?.state === 'failed' && /at import/.test(broken.outcome.error.message));
});

test('a task that waits says what for, and goes on with what came of it', async () => {
  const text = module(`d.wait('t', { until: until.delay('2h'), timeout: '3h' })();`).replace('Skip,', 'Skip, until,');
  const before = Date.now();
  const { outcome } = await runTask(text, {});
  assert.ok(outcome?.state === 'deferred');
  assert.deepEqual([outcome.trigger, outcome.timeout_seconds], ['airlock.until', 10_800]);
  assert.ok(Math.abs(Date.parse(String(outcome.kwargs.at)) - before - 7_200_000) < 60_000);
  const event = { at: 'then' };
  const resumed = await runTask(text, { resumed: { event } });
  assert.deepEqual(resumed.outcome, { state: 'success', value: event, has_value: true, mapped_length: null });
  for (const [timedOut, name, retryable] of [
    [true, 'WaitTimeout', false],
    [false, 'TriggerFailure', true],
  ] as const) {
    const failed = await runTask(text, { resumed: { failure: 'no', timed_out: timedOut } });
    assert.ok(failed.outcome?.state === 'failed');
    assert.deepEqual([failed.outcome.error.name, failed.outcome.retryable], [name, retryable]);
  }
});
