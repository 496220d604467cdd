import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TaskDocument } from '@airlock/contract/dag/document';
import fc from 'fast-check';
import { assertValidDocument } from '../../../test/kit/schema.ts';
import {
  callback,
  connection,
  type Dag,
  type DagBuilder,
  dag,
  type Node,
  result,
  type Task,
  until,
  variable,
} from '../index.ts';
import { serializeDag } from './document.ts';

const SOURCE = { fileloc: '/dags/sub/a.ts', relativeFileloc: 'sub/a.ts' };
const taskOf = (value: Dag, id: string): TaskDocument =>
  serializeDag(value, SOURCE).dag.tasks.find((task) => task.__var.task_id === id)!.__var;

const salesEtl = () =>
  dag(
    'sales_etl',
    {
      schedule: '0 6 * * *', timezone: 'Europe/Stockholm', startDate: '2026-01-01', catchup: false, tags: ['b', 'a', 'b'],
      params: { day: '2026-01-01', limit: { default: 10, schema: { type: 'integer', minimum: 1 }, description: 'rows' }, who: { schema: { type: 'string' } } },
      defaults: { retries: 3, retryDelay: '10s..5m', timeout: '15m' }, paused: false, runTimeout: '2h', description: 'Sales', docs: '# Sales',
    }, // biome-ignore format: a table of options
    (d) => {
      const ready = d.sensor('partner_ready', { every: '60s', timeout: '2h', check: () => true });
      const list = d.task('list_files', { run: async () => ['a'] });
      const load = d.task('load_file', {
        needs: { w: connection('warehouse') },
        pool: 'warehouse',
        retries: 5,
        run: async ({ file }: { file: string; mode: string }) => file.length,
      });
      const report = d.task('report', {
        needs: { region: variable('region') },
        docs: 'Adds up.',
        run: async ({ rows }: { rows: number[]; title: string }) => rows.length,
      });
      const files = list().after(ready());
      report({ title: 'x', rows: load.with({ mode: 'fast' }).map({ file: files }, { limit: 500, concurrency: 8 }) });
    },
  );

test('the example of the design becomes a document that the wire knows', () => {
  const document = serializeDag(salesEtl(), SOURCE);
  assertValidDocument(document);
  const { dag: d } = document;
  assert.equal(document.__version, 3);
  assert.equal(d.timezone, 'Europe/Stockholm');
  assert.equal(d.start_date, Date.parse('2025-12-31T23:00:00Z') / 1000);
  assert.equal(d.dagrun_timeout, 7200);
  assert.equal(d.is_paused_upon_creation, false);
  assert.deepEqual(d.tags, ['a', 'b']);
  assert.deepEqual(d.timetable, {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 6 * * *', timezone: 'Europe/Stockholm', interval: 0, run_immediately: false },
  });
});

test('params carry their default, and a schema that is inferred from it unless given', () => {
  const params = Object.fromEntries(serializeDag(salesEtl(), SOURCE).dag.params as never) as Record<string, unknown>;
  const of = (schema: object, value: unknown, description: string | null = null) => ({
    __class: 'airflow.sdk.definitions.param.Param',
    default: value,
    description,
    schema: { __type: 'dict', __var: schema },
    source: 'dag',
  });
  assert.deepEqual(params.day, of({ type: 'string' }, '2026-01-01'));
  assert.deepEqual(params.limit, of({ minimum: 1, type: 'integer' }, 10, 'rows'));
  assert.deepEqual(params.who, of({ type: 'string' }, { __type: 'arg_not_set', __var: null }));
});

test('a task carries its options in seconds, its needs, and what it takes as a template', () => {
  const value = salesEtl();
  const list = taskOf(value, 'list_files');
  assert.equal(list.queue, 'typescript');
  assert.equal(list._task_module, 'airlock.sdk');
  assert.equal(list.retries, 3);
  assert.equal(list.retry_delay, 10);
  assert.equal(list.retry_exponential_backoff, 2);
  assert.equal(list.max_retry_delay, 300);
  assert.equal(list.execution_timeout, 900);
  assert.deepEqual(list.downstream_task_ids, ['load_file']);
  assert.equal(list.__airlock_needs, '{"assets":[],"connections":[],"dags":[],"variables":[],"xcoms":[]}');
  const report = taskOf(value, 'report');
  assert.equal(
    report.__airlock_needs,
    '{"assets":[],"connections":[],"dags":[],"variables":["region"],"xcoms":["load_file"]}',
  );
  assert.equal(report.doc_md, 'Adds up.');
  assert.deepEqual(report.template_fields, ['input']);
  assert.deepEqual(report.input, {
    rows: "{{ task_instance.xcom_pull(task_ids='load_file', dag_id='sales_etl', key='return_value') }}",
    title: 'x',
  });
});

test('what a wait looks at is declared: Dags among its needs, assets as inlets, which give no right to make events', () => {
  const value = dag('d', {}, (d) => {
    d.wait('run', { until: until.run('orders', { runId: 'r' }) })();
    d.wait('asset', { until: until.asset('stock') })();
    d.wait('either', { until: ({ run }) => until.run('b', { runId: run.runId }), reads: { dags: ['b', 'a', 'b'] } })();
    d.wait('neither', { until: () => until.run('orders', { runId: 'r' }) })();
    d.wait('tasks', { until: until.task('orders', ['load', 'check'], { runId: 'r' }) })();
    d.wait('group', { until: () => until.taskGroup('a', 'g', { runId: 'r' }), reads: { tasks: ['a/g'] } })();
  });
  const dags = (id: string) => JSON.parse(taskOf(value, id).__airlock_needs!).dags;
  assert.deepEqual([dags('run'), dags('asset'), dags('either'), dags('neither')], [['orders'], [], ['a', 'b'], []]);
  const tasks = (id: string) => JSON.parse(taskOf(value, id).__airlock_needs!).tasks;
  assert.deepEqual(
    [tasks('tasks'), tasks('group'), tasks('run')],
    [['orders/check', 'orders/load'], ['a/g'], undefined],
  );
  assert.deepEqual([dags('tasks'), dags('group')], [[], []], 'their Dag itself is not opened');
  assert.deepEqual(taskOf(value, 'asset').inlets, [{ __type: 'asset_ref', __var: { name: 'stock' } }]);
  assert.equal(taskOf(value, 'run').inlets, undefined);
  assert.deepEqual(JSON.parse(taskOf(value, 'asset').__airlock_needs!).assets, []);
  for (const reads of [
    5,
    [],
    { dag: ['a'] },
    { dags: 'a' },
    { dags: [''] },
    { assets: [5] },
    { tasks: ['orders'] },
    { tasks: ['a/b/c'] },
    { tasks: ['/b'] },
  ])
    assert.throws(
      () => dag('d', {}, (d) => void d.wait('w', { until: until.delay('1s'), reads: reads as never })()).graph(),
      {
        name: 'DagError',
      },
    );
});

test('order alone gives no right to a result', () => {
  const value = dag('d', {}, (d) => {
    const a = d.task('a', { run: () => 1 });
    d.task('b', { run: () => 1 })().after(a());
  });
  assert.match(taskOf(value, 'b').__airlock_needs!, /"xcoms":\[\]/);
  assert.deepEqual(taskOf(value, 'a').downstream_task_ids, ['b']);
});

test('a mapped task has its mapping, and its options in tagged form', () => {
  const load = taskOf(salesEtl(), 'load_file');
  assert.equal(load._is_mapped, true);
  assert.equal(load.__airlock_map_limit, 500);
  assert.equal(load.retries, undefined);
  assert.equal(load._expand_input_attr, 'expand_input');
  const ref = { __type: 'xcomref', __var: { task_id: 'list_files', key: 'return_value' } };
  assert.deepEqual(load.expand_input, { type: 'dict-of-lists', value: { __type: 'dict', __var: { file: ref } } });
  assert.deepEqual(load.partial_kwargs, {
    queue: 'typescript',
    pool: 'warehouse',
    retries: 5,
    retry_delay: { __type: 'timedelta', __var: 10 },
    retry_exponential_backoff: 2,
    max_retry_delay: { __type: 'timedelta', __var: 300 },
    execution_timeout: { __type: 'timedelta', __var: 900 },
    max_active_tis_per_dagrun: 8,
    input: { __type: 'dict', __var: { mode: 'fast' } },
  });
});

test('the lists of a product keep the order in which the author wrote them', () => {
  const value = dag('d', {}, (d) => {
    d.task('t', { run: async (x: { z: number; a: number }) => x.z }).map({ z: [1, 2], a: [3] });
  });
  const { value: mapping } = taskOf(value, 't').expand_input as { value: { __var: object } };
  assert.deepEqual(Object.keys(mapping.__var), ['z', 'a']);
});

test('a sensor gives its slot back between two looks', () => {
  const sensor = taskOf(salesEtl(), 'partner_ready');
  assert.equal(sensor._is_sensor, true);
  assert.equal(sensor.reschedule, true);
  assert.equal(sensor.task_type, 'TypeScriptSensor');
  assert.equal(sensor.poke_interval, 60);
  assert.equal(sensor.timeout, 7200);
  assert.equal(sensor.execution_timeout, undefined);
});

test('an input that is too long to show is cut, and the mapping itself never is', () => {
  const long = 'x'.repeat(5000);
  const value = dag('d', {}, (d) => {
    d.task('a', { run: async ({ s }: { s: string }) => s })({ s: long });
    d.task('b', { run: async ({ s }: { s: string }) => s }).map({ s: [long] });
  });
  assert.match(taskOf(value, 'a').input as string, /^Truncated\. First 4096 of \d+ characters/);
  assert.ok(JSON.stringify(taskOf(value, 'b').expand_input).includes(long));
});

test('callbacks leave their markers, deadlines their terms, and what they need stands where the format has room for it', () => {
  const value = dag(
    'd',
    {
      defaults: { onFailure: () => undefined },
      onFailure: callback({ needs: { chat: connection('chat') }, run: () => undefined }),
      deadlines: [
        { name: 'late', from: 'queued', within: '1h', call: () => undefined },
        { from: { averageOf: 5, atLeast: 2 }, within: '10m', call: callback({ needs: { region: variable('region'), sizes: result<number[]>('b') }, run: () => undefined }) },
      ],
    }, // biome-ignore format: a table of options
    (d) => {
      d.task('a', { run: () => 1, onRetry: () => undefined, onSkip: () => undefined })();
      d.task('b', { run: ({ x }: { x: number }) => x, onSuccess: () => undefined }).map({ x: [1] });
    },
  );
  const document = serializeDag(value, SOURCE);
  assertValidDocument(document);
  const { dag: found } = document;
  const marks = (of: object) =>
    Object.keys(of)
      .filter((key) => key.startsWith('has_on_'))
      .sort();
  assert.deepEqual(marks(found), ['has_on_failure_callback']);
  assert.deepEqual(marks(taskOf(value, 'a')), [
    'has_on_failure_callback',
    'has_on_retry_callback',
    'has_on_skipped_callback',
  ]);
  assert.deepEqual(marks(taskOf(value, 'b').partial_kwargs!), ['has_on_failure_callback', 'has_on_success_callback']);
  assert.deepEqual(found.default_args, {
    __type: 'dict',
    __var: {
      __airlock_callback_needs: '{"assets":[],"connections":["chat"],"dags":[],"variables":["region"],"xcoms":["b"]}',
    },
  });
  const [first, second] = found.deadline as Array<{
    name: string | null;
    reference: object;
    interval: { __data__: number };
  }>;
  assert.deepEqual(
    [first!.name, first!.reference, first!.interval.__data__],
    ['late', { reference_type: 'DagRunQueuedAtDeadline' }, 3600],
  );
  assert.deepEqual(second!.reference, { reference_type: 'AverageRuntimeDeadline', max_runs: 5, min_runs: 2 });
});

test('a callback that is none, and a deadline that counts from nothing, are refused with a hint', () => {
  const make = (options: object) => () =>
    serializeDag(
      dag('d', options as never, () => undefined),
      SOURCE,
    );
  assert.throws(make({ onFailure: 'tell' }), /onFailure: "tell" is not a callback/);
  assert.throws(make({ defaults: { onRetry: 1 } }), /onRetry: 1 is not a function/);
  const call = () => undefined;
  assert.throws(make({ deadlines: [{ from: 'start', within: '1h', call }] }), /no start of a deadline/);
  assert.throws(make({ deadlines: [{ from: 'queued', within: '1h' }] }), /nothing is called/);
  assert.throws(make({ deadlines: [{ from: 'queued', call }] }), /within/);
  assert.doesNotThrow(make({ deadlines: [{ from: 'queued', within: '1h', call }] }));
});

test('the tree of groups is complete', () => {
  const value = dag('d', {}, (d) => {
    d.task('start', { run: () => 1 })();
    d.group('load', { docs: 'Loads.', displayName: 'Loading' }, (g) => {
      g.task('one', { run: () => 1 })();
      g.group('deep', (h) => void h.task('two', { run: () => 1 })());
    });
  });
  const document = serializeDag(value, SOURCE);
  assertValidDocument(document);
  const root = document.dag.task_group as {
    children: Record<string, [string, { children: object; group_display_name: string }]>;
  };
  assert.deepEqual(Object.keys(root.children), ['start', 'load']);
  assert.deepEqual(Object.keys(root.children.load![1].children), ['load.one', 'load.deep']);
  assert.equal(root.children.load![1].group_display_name, 'Loading');
});

/** Plans of random Dags: each task by its kind, and which earlier ones it takes from or follows. */
const plan = fc.record({
  schedule: fc.constantFrom(null, '@daily', '*/5 * * * *', '30m', 3600, '@once', '@continuous'),
  timezone: fc.constantFrom('UTC', 'Europe/Zurich', 'America/New_York'),
  startDate: fc.constantFrom(undefined, '2024-01-01', '2026-06-01T03:00', '2026-01-01T00:00:00Z'),
  tags: fc.array(fc.string({ minLength: 1, maxLength: 8 }), { maxLength: 4 }),
  params: fc.dictionary(
    fc.stringMatching(/^[a-z]{1,6}$/),
    fc.jsonValue({ maxDepth: 3 }).filter((v) => v !== undefined),
    { maxKeys: 4 },
  ),
  tasks: fc.array(
    fc.record({
      kind: fc.constantFrom('task', 'sensor', 'map', 'group'),
      takes: fc.nat(),
      follows: fc.array(fc.nat(), { maxLength: 3 }),
      constant: fc.jsonValue({ maxDepth: 3 }),
      list: fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 4 }),
      retries: fc.option(fc.nat(5), { nil: undefined }),
      retryDelay: fc.constantFrom(undefined, 5, '30s', '1s..1m'),
      needs: fc.subarray(['x', 'y', 'z']),
    }),
    { maxLength: 12 },
  ),
});
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never;

function make(p: Plan): Dag {
  const { schedule, timezone, startDate, tags, params } = p;
  return dag('random', { schedule, timezone, startDate, tags, params: params as never }, (d) => {
    const nodes: Array<Node<unknown>> = [];
    p.tasks.forEach((t, i) => {
      const needs = Object.fromEntries(t.needs.map((name) => [name, name === 'x' ? connection(name) : variable(name)]));
      const { retries, retryDelay } = t;
      const at = (n: number) => nodes[n % nodes.length]!;
      const place = (b: DagBuilder<never>) => {
        if (t.kind === 'sensor') return b.sensor(`t${i}`, { needs, retries, retryDelay, check: () => true })();
        const task = b.task(`t${i}`, { needs, retries, retryDelay, run: async () => 1 }) as unknown as Task<
          { v: unknown; c: unknown },
          number
        >;
        const input = { c: t.constant, v: nodes.length > 0 ? [at(t.takes), t.list] : t.list } as never;
        if (t.kind !== 'map') return task(input);
        return task
          .with({ c: t.constant } as never)
          .map({ v: nodes.length > 0 ? at(t.takes) : t.list } as never, { limit: 9 });
      };
      const node = (
        t.kind === 'group' ? d.group(`g${i}`, (g) => place(g as never)) : place(d as never)
      ) as Node<unknown>;
      if (nodes.length > 0) node.after(...t.follows.map(at));
      nodes.push(node);
    });
  });
}

test('every Dag gives a valid document, and the same bytes each time', () => {
  fc.assert(
    fc.property(plan, (p) => {
      const first = serializeDag(make(p), SOURCE);
      assertValidDocument(first);
      assert.equal(JSON.stringify(serializeDag(make(p), SOURCE)), JSON.stringify(first));
    }),
    { numRuns: 300 },
  );
});

test('a callback needs results of tasks of its Dag only, and a task declares none', () => {
  const needing = (taskId: string) =>
    dag('d', { onSuccess: callback({ needs: { x: result(taskId) }, run: () => undefined }) }, (d) => {
      d.group('g', (g) => g.task('a', { run: () => 1 })());
    });
  assert.throws(() => serializeDag(needing('a'), SOURCE), /needs the result of a, which is no task of it/);
  assert.match(JSON.stringify(serializeDag(needing('g.a'), SOURCE)), /xcoms\\":\[\\"g\.a\\"\]/);
  const asTask = dag('d', {}, (d) => {
    d.task('b', { needs: { x: result('a') as never }, run: () => 1 })();
  });
  assert.throws(() => asTask.graph(), /a task does not declare the result of another/);
  assert.throws(() => `${result('a')}`, /is a handle, not a value/);
});
