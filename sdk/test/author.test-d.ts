// biome-ignore-all lint/complexity/noBannedTypes: the design's own example writes `_: {}` for a task without input.
/**
 * What must compile, and what must not. Checked by `tsc`, never run: a `@ts-expect-error` without an error is an error.
 */
import { callback, connection, dag, type Node, result, variable } from '@airlock/sdk';

declare function partnerHas(day: string): Promise<boolean>;
declare function listFiles(day: string): Promise<string[]>;
declare function copyInto(to: { host: string | null }, file: string, signal: AbortSignal): Promise<number>;

const warehouse = connection('warehouse');
const region = variable<'eu' | 'us'>('region');

// The example of the design compiles as it stands, and the types flow through it.
export default dag(
  'sales_etl',
  {
    schedule: '0 6 * * *',
    timezone: 'Europe/Stockholm',
    startDate: '2026-01-01',
    catchup: false,
    params: { day: '2026-01-01' },
    defaults: { retries: 3, retryDelay: '10s..5m', timeout: '15m' },
  },
  (d) => {
    const ready = d.sensor('partner_ready', {
      every: '60s',
      timeout: '2h',
      check: async ({ params }) => partnerHas(params.day),
    });
    const list = d.task('list_files', { run: async (_: {}, { params }) => listFiles(params.day) });
    const load = d.task('load_file', {
      needs: { warehouse },
      pool: 'warehouse',
      retries: 5,
      run: async ({ file }: { file: string }, { needs, log, signal }) => {
        log.info('loading', { file });
        return copyInto(needs.warehouse, file, signal);
      },
    });
    const report = d.task('report', {
      needs: { region },
      run: async ({ rows }: { rows: number[] }, { needs }) => {
        const where: 'eu' | 'us' = needs.region;
        return { where, total: rows.reduce((a, b) => a + b, 0) };
      },
    });
    const files = list().after(ready());
    const asStrings: Node<string[]> = files;
    const sum: Node<{ where: 'eu' | 'us'; total: number }> = report({
      rows: load.map({ file: asStrings }, { limit: 500, concurrency: 8 }),
    });
    sum.after(files);
  },
);

dag(
  'values',
  { params: { day: 'x', limit: { default: 10, schema: { type: 'integer' } }, mode: { schema: { enum: ['a', 'b'] } } } },
  (d) => {
    const texts = d.task('texts', { run: async () => ['a', 'b'] });
    const one = d.task('one', { run: () => 1 });
    const nothing = d.task('nothing', { run: async () => {} });
    const wantsNumber = d.task('wants_number', { run: async ({ n }: { n: number }) => n });
    const wantsRows = d.task('wants_rows', {
      run: async ({ rows, note }: { rows: number[]; note?: string }) => rows.length + (note ?? '').length,
    });
    const wantsRecord = d.task('wants_record', { run: async ({ r }: { r: { id: number; tags: string[] } }) => r.id });

    // Nodes and plain values both fit, at any depth.
    wantsNumber({ n: 1 });
    wantsNumber({ n: one() });
    wantsRows({ rows: [one(), 2, one()] });
    wantsRecord({ r: { id: one(), tags: texts() } });
    wantsRecord.with({ r: { id: 1, tags: [] } })();
    wantsNumber.map({ n: [1, 2, one()] });

    // @ts-expect-error a node of text where a number is wanted
    wantsNumber({ n: d.task('t1', { run: async () => 'text' })() });
    // @ts-expect-error a plain text where a number is wanted
    wantsNumber({ n: 'text' });
    // @ts-expect-error a list of texts where a list of numbers is wanted
    wantsRows({ rows: texts() });
    // @ts-expect-error a missing input
    wantsNumber({});
    // @ts-expect-error no input at all
    wantsNumber();
    // @ts-expect-error an input that the task does not have
    wantsNumber({ n: 1, m: 2 });
    // @ts-expect-error an input for a task that takes none
    one({ n: 1 });
    // @ts-expect-error the task itself instead of its node
    wantsNumber({ n: one });
    // @ts-expect-error a promise instead of a value
    wantsNumber({ n: Promise.resolve(1) });
    // @ts-expect-error the result of a task that gives nothing
    wantsNumber({ n: nothing() });
    // @ts-expect-error a sensor gives no value
    wantsNumber({ n: d.sensor('s1', { check: () => true })() });
    // @ts-expect-error a wrong field deep inside
    wantsRecord({ r: { id: 'x', tags: [] } });

    // @ts-expect-error mapping over the node of a single value
    wantsNumber.map({ n: one() });
    // @ts-expect-error mapping over a plain single value
    wantsNumber.map({ n: 1 });
    // @ts-expect-error mapping over a list of the wrong type
    wantsNumber.map({ n: texts() });
    // @ts-expect-error a task without input has nothing to map over
    one.map({ n: [1] });
    // @ts-expect-error a fan-out gives a list, not one value
    wantsNumber({ n: wantsNumber.map({ n: [1] }) });
    // @ts-expect-error the limit is a number
    wantsNumber.map({ n: [1] }, { limit: '5' });
    // @ts-expect-error not an option of map
    wantsNumber.map({ n: [1] }, { parallel: 5 });

    // @ts-expect-error order is between nodes, not tasks
    one().after(texts);
    // @ts-expect-error a node is not its value
    one().toFixed();
    // @ts-expect-error nor is a node of a list a list
    texts().length;

    // Needs: what was not declared is not there.
    d.task('n1', {
      needs: { warehouse },
      run: async (_, { needs }) => {
        needs.warehouse.host?.length;
        // @ts-expect-error undeclared
        needs.region;
        // @ts-expect-error connections have no such field
        needs.warehouse.secret;
      },
    });
    d.task('n2', {
      run: async (_, { needs }) => {
        // @ts-expect-error nothing was declared
        needs.warehouse;
      },
    });
    d.task('n3', {
      needs: { region },
      run: async (_, { needs }) => {
        // @ts-expect-error not one of the variable's values
        return needs.region === 'asia';
      },
    });
    // @ts-expect-error a need is a handle, not a text
    d.task('n4', { needs: { warehouse: 'warehouse' }, run: async () => 1 });
    // @ts-expect-error sensors get declared needs only, too
    d.sensor('n5', { check: ({ needs }) => needs.warehouse.host === 'x' });
    d.sensor('n6', { needs: { warehouse }, check: ({ needs }) => needs.warehouse.host === 'x' });

    // Params: known names, with the type of their default or schema.
    d.task('p1', {
      run: async (_, { params }) => {
        const day: string = params.day;
        const limit: number = params.limit;
        const mode: 'a' | 'b' = params.mode;
        // @ts-expect-error no such param
        params.month;
        // @ts-expect-error a text is not a number
        const wrong: number = params.day;
        // @ts-expect-error params are read only
        params.day = 'y';
        return [day, limit, mode, wrong];
      },
    });

    // Results are JSON, or nothing.
    type Tree = { name: string; children: Tree[] };
    interface Row {
      id: number;
      note?: string;
    }
    d.task('r1', { run: async (): Promise<Tree> => ({ name: '', children: [] }) });
    d.task('r2', { run: async (): Promise<Row[]> => [] });
    d.task('r3', { run: async (): Promise<string | null | undefined> => null });
    d.task('r4', { run: async () => JSON.parse('1') });
    // @ts-expect-error a function
    d.task('r5', { run: async () => () => 1 });
    // @ts-expect-error a date
    d.task('r6', { run: async () => new Date(0) });
    // @ts-expect-error a map
    d.task('r7', { run: async () => new Map([['a', 1]]) });
    // @ts-expect-error a bigint inside a list
    d.task('r8', { run: async () => [1n] });
    // @ts-expect-error a symbol inside an object
    d.task('r9', { run: async () => ({ a: { b: Symbol('x') } }) });
    // @ts-expect-error a method
    d.task('r10', { run: async () => ({ id: 1, save() {} }) });
    // @ts-expect-error bytes
    d.task('r11', { run: async () => new Uint8Array(1) });
    // @ts-expect-error undefined inside a list
    d.task('r12', { run: async () => [1, undefined] });
    // @ts-expect-error nobody knows what it is
    d.task('r13', { run: async (): Promise<unknown> => 1 });
    // @ts-expect-error a date deep inside
    d.task('r14', { run: async () => ({ rows: [{ at: new Date(0) }] }) });

    // Options.
    // @ts-expect-error no run
    d.task('o1', {});
    // @ts-expect-error not an option
    d.task('o2', { retires: 3, run: async () => 1 });
    // @ts-expect-error retries is a number
    d.task('o3', { retries: '3', run: async () => 1 });
    // @ts-expect-error a check gives true or false
    d.sensor('o4', { check: async () => 'yes' });
    // @ts-expect-error a sensor has no run
    d.sensor('o5', { run: async () => true });
  },
);

// @ts-expect-error a handle has no value at parse time
warehouse.host;
// @ts-expect-error nor is a variable its text
region.toUpperCase();
// @ts-expect-error not an option of a Dag
dag('x', { scheduled: '@daily' }, () => {});
// @ts-expect-error an id is text
dag(5, {}, () => {});
// @ts-expect-error a default for tasks has to be an option of tasks
dag('x', { defaults: { retires: 1 } }, () => {});
// @ts-expect-error the default has to be one of the values
variable<'eu' | 'us'>('region', { default: 'asia' });

// What a callback declares is what it finds, and nothing else.
dag(
  'told',
  {
    params: { day: '2026-01-01' },
    onFailure: callback({
      needs: { warehouse, rows: result<number>('load') },
      run: ({ needs, reason }) => [
        needs.warehouse.host,
        reason === 'timed_out',
        needs.rows?.toFixed(),
        // @ts-expect-error the task may have failed
        needs.rows.toFixed(),
        // @ts-expect-error not declared
        needs.region,
      ],
    }),
    // @ts-expect-error a plain function declares nothing
    onSuccess: ({ needs }) => needs.warehouse,
  },
  (d) => {
    d.task('load', {
      needs: { region },
      run: () => 1,
      onFailure: ({ needs, params }, error) => [needs.region === 'eu', params.day.length, error.message],
      // @ts-expect-error not declared
      onRetry: ({ needs }) => needs.warehouse,
    })();
    // @ts-expect-error a task gets results as its input
    d.task('report', { needs: { rows: result<number>('load') }, run: () => 1 })();
  },
);
