import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DagError } from './dag-error.ts';
import { connection, type DagBuilder, dag, variable } from './index.ts';

// Authors who write JavaScript, or look away from the compiler, get the same refusals at parse time.
type Loose = Record<'task' | 'sensor' | 'group', (...args: unknown[]) => never>;
const loose = (d: unknown) => d as unknown as Loose & Record<string, never>;
const build = (body: (d: DagBuilder<Record<never, never>>) => void, options: object = {}) =>
  dag('d', options, body).graph();
const refused = (body: (d: DagBuilder<Record<never, never>>) => void, message: RegExp, hint?: RegExp) =>
  assert.throws(
    () => build(body),
    (error) =>
      error instanceof DagError && message.test(error.message) && (hint === undefined || hint.test(error.hint)),
  );
const run = async () => 1;

test('the graph holds what was called, with data edges and order edges', () => {
  const graph = build((d) => {
    const list = d.task('list', { run: async () => ['a'] });
    const load = d.task('load', { run: async ({ file }: { file: string }) => file.length });
    const sum = d.task('sum', { run: async ({ sizes }: { sizes: number[] }) => sizes.length });
    const first = d.task('first', { run });
    sum({ sizes: load.map({ file: list().after(first()) }) });
    d.task('never_called', { run });
  });
  assert.deepEqual([...graph.tasks.keys()], ['list', 'first', 'load', 'sum']);
  assert.deepEqual([...graph.tasks.get('list')!.upstream], ['first']);
  assert.deepEqual([...graph.tasks.get('list')!.takes], []);
  assert.deepEqual([...graph.tasks.get('load')!.takes], ['list']);
  assert.deepEqual([...graph.tasks.get('sum')!.takes], ['load']);
  assert.deepEqual(graph.unused, ['never_called']);
});

test('a cycle is refused with its path', () => {
  refused((d) => {
    const [a, b, c] = ['a', 'b', 'c'].map((id) => d.task(id, { run })()) as [never, never, never];
    const nodes = { a, b, c } as unknown as Record<string, { after(node: unknown): void }>;
    nodes.b!.after(nodes.a);
    nodes.c!.after(nodes.b);
    nodes.a!.after(nodes.c);
  }, /cycle: a → b → c → a/);
  refused((d) => {
    const a = d.task('a', { run })();
    a.after(a);
  }, /cycle: a → a/);
});

test('a chain of ten thousand tasks is no cycle and needs no deep stack', () => {
  const graph = build((d) => {
    let last = d.task('t0', { run })();
    for (let i = 1; i < 10_000; i++) last = d.task(`t${i}`, { run })().after(last);
  });
  assert.equal(graph.tasks.size, 10_000);
});

test('ids occur once and are well formed', () => {
  refused((d) => {
    d.task('a', { run });
    d.task('a', { run });
  }, /The id a occurs twice/);
  refused(
    (d) => {
      const a = d.task('a', { run });
      a();
      a();
    },
    /Task a is called twice/,
    /as\('other_id'\)/,
  );
  for (const id of ['', 'a b', 'ä', 'a/b', 'x'.repeat(251), 5])
    refused((d) => loose(d).task(id, { run }), /not a task id/);
  assert.throws(() => dag('a b', {}, () => {}), DagError);
});

test('one body can be placed twice under two ids', () => {
  const graph = build((d) => {
    const a = d.task('a', { run });
    a().after(a.as('b')());
  });
  assert.deepEqual([...graph.tasks.keys()].sort(), ['a', 'b']);
});

test('groups prefix ids and nest', () => {
  const graph = build((d) => {
    d.group('load', (g) => {
      g.task('one', { run })();
      g.group('deep', (h) => h.task('two', { run })());
    });
  });
  assert.deepEqual([...graph.tasks.keys()], ['load.one', 'load.deep.two']);
});

test('slips that the compiler would show are refused at parse time too', () => {
  refused((d) => loose(d).task('a', {}), /run is undefined, not a function/);
  refused((d) => loose(d).task('a', { run, retires: 3 }), /no option "retires"/, /Known options/);
  refused((d) => loose(d).task('a', { run, retry_delay: 3 }), /no option "retry_delay"/, /Did you mean retryDelay/);
  refused((d) => loose(d).task('a', { run, retries: 1.5 }), /retries: 1.5/);
  refused((d) => loose(d).task('a', { run, retryPolicy: 'never' }), /retryPolicy: "never" is not a function/);
  refused((d) => loose(d).task('a', { run, pool: '' }), /pool/);
  refused((d) => loose(d).task('a', { run, needs: { x: 'warehouse' } }), /needs.x: "warehouse" is not a handle/);
  refused((d) => loose(d).sensor('a', { run }), /no option "run"|check is undefined/);
  refused((d) => loose(d).sensor('a', { check: run, every: '0s' }), /every/);
  refused(
    (d) => (loose(d).task('a', { run }) as unknown as (x: unknown) => void)({ n: () => 1 }),
    /input.n is the function n/,
  );
  refused(
    (d) => (loose(d).task('a', { run }) as unknown as (x: unknown) => void)({ n: Promise.resolve(1) }),
    /Promise/,
  );
  refused((d) => (loose(d).task('a', { run }) as unknown as (x: unknown) => void)(5), /not an object of named values/);
  refused(
    (d) => {
      const a = d.task('a', { run });
      (loose(d).task('b', { run }) as unknown as (x: unknown) => void)({ n: a });
    },
    /input.n is the function/,
    /Call the task/,
  );
  refused((d) => (d.task('a', { run })() as unknown as { after(x: unknown): void }).after(5), /not a task of this Dag/);
  refused(
    (d) => {
      const b = d.task('b', { run: async ({ n }: { n: number }) => n }) as unknown as {
        map(x: unknown, o?: unknown): void;
      };
      b.map({ n: 5 });
    },
    /n is 5, not a list/,
    /with\(\{ n \}\)/,
  );
  refused((d) => (d.task('b', { run }) as unknown as { map(x: unknown): void }).map({}), /nothing to map over/);
});

test('nodes of another Dag, and late tasks, are refused', () => {
  let foreign: { taskId: string } | undefined;
  let kept: DagBuilder<Record<never, never>> | undefined;
  build((d) => {
    kept = d;
    foreign = d.task('far', { run })();
  });
  refused((d) => {
    const near = d.task('near', { run: async ({ n }: { n: number }) => n });
    near({ n: foreign as never });
  }, /Task near of Dag d uses task far of Dag d/);
  assert.throws(() => kept!.task('late', { run }), /after its builder returned/);
});

test('a handle or node used as a value says what to do instead', () => {
  assert.throws(() => `${variable('region') as unknown as string}`, /variable\('region'\) is a handle/);
  assert.throws(() => `${connection('w') as unknown as string}`, /connection\('w'\) is a handle/);
  refused((d) => void `${d.task('a', { run })() as unknown as string}`, /result of task a does not exist yet/);
  refused((d) => void JSON.stringify(d.task('a', { run })()), /does not exist yet/);
});

test('an asynchronous builder is refused: its tasks would come too late', () => {
  assert.throws(() => build(async () => {}), /the builder is asynchronous/);
});

test('options of the Dag are checked, also those that no task uses', () => {
  const cases: Array<[object, RegExp]> = [
    [{ scheduled: '@daily' }, /no option "scheduled"/], [{ start_date: '2026-01-01' }, /no option "start_date"/], [{ tags: 'x' }, /tags/],
    [{ maxActiveRuns: 0 }, /maxActiveRuns/], [{ schedule: '@continuous', maxActiveRuns: 2 }, /one run at a time/],
    [{ startDate: '2026-02-01', endDate: '2026-01-01' }, /endDate lies before/], [{ catchup: 1 }, /catchup/], [{ timezone: 'X' }, /timezone/],
    [{ defaults: { retries: -1 } }, /defaults.retries/], [{ defaults: { run } }, /no option "run"/], [{ params: { a: () => 1 } }, /params.a/],
    [{ params: { a: undefined } }, /params.a is undefined/], [{ params: [] }, /params/], [{ runTimeout: 0 }, /runTimeout/], [[], /not an object of options/],
  ]; // biome-ignore format: a table
  for (const [options, message] of cases) {
    assert.throws(
      () => dag('d', options as never, () => {}),
      (error) => error instanceof DagError && message.test(error.message),
      String(message),
    );
  }
});

test('defaults reach every task that says nothing else', () => {
  const graph = build(
    (d) => {
      d.task('a', { run })();
      d.task('b', { run, retries: 5, timeout: '1s' })();
      d.sensor('c', { check: () => true })();
    },
    { defaults: { retries: 3, retryDelay: '10s..5m', timeout: '15m', pool: 'p' } },
  );
  const of = (id: string) => graph.tasks.get(id)!.options;
  assert.equal(of('a').retries, 3);
  assert.equal(of('a').timeout, 900);
  assert.equal(of('b').retries, 5);
  assert.equal(of('b').timeout, 1);
  assert.equal(of('b').pool, 'p');
  assert.equal(of('c').timeout, undefined, 'a default timeout bounds bodies, not the waiting of sensors');
});
