/**
 * 400 random partition mappers and 3,200 keys, as Airflow 3.3.2 itself maps them. Made by control/test/airflow/partitions.py,
 * which says how to make them again, also with another seed.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { buildMapper, suffices } from './mappers.ts';

type Answer = readonly [
  key: string,
  keys: string[] | 'error',
  dates: Array<number | null | 'error'> | null,
  waits: string[] | 'error' | null,
];
const lines = gunzipSync(readFileSync(new URL('../../../test/data/partition-mappers.jsonl.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((text) => JSON.parse(text) as { m: unknown; a: Answer[] });

function attempt<T>(ask: () => T): T | 'error' {
  try {
    return ask();
  } catch (error) {
    ok(error instanceof RangeError, String(error));
    return 'error';
  }
}

test('each mapper gives the keys, the dates and the expected keys that Airflow gives', () => {
  equal(lines.length, 400);
  for (const { m, a } of lines) {
    const mapper = buildMapper(m);
    for (const [key, keys, dates, waits] of a) {
      const mapped = attempt(() => mapper.keysOf(key));
      const where = `${JSON.stringify(m)} ${key}`;
      deepEqual(mapped, keys, where);
      if (mapped === 'error') continue;
      const given = mapped.map((each) =>
        attempt(() => {
          const ms = mapper.dateOf(each);
          return ms === null ? null : Math.floor(ms / 1000);
        }),
      );
      deepEqual(given, dates, where);
      const { rollup } = mapper;
      equal(rollup === null, waits === null, where);
      if (rollup)
        deepEqual(
          attempt(() => [...rollup.expected(mapped[0]!)].sort()),
          waits,
          where,
        );
    }
  }
});

const START = {
  __type: 'airflow.partition_mappers.temporal.StartOfHourMapper',
  __var: { timezone: 'UTC', input_format: '%Y-%m-%dT%H', output_format: '%Y-%m-%d' },
};
const rollup = (policy: object | undefined, window = 'DayWindow') => ({
  __type: 'airflow.partition_mappers.base.RollupMapper',
  __var: {
    upstream_mapper: START,
    window: { __type: `airflow.partition_mappers.window.${window}`, __var: { direction: 'forward' } },
    ...(policy && { wait_policy: policy }),
  },
});
const atLeast = (n: number) => ({ __type: 'airflow.partition_mappers.wait_policy.MinimumCount', __var: { n } });
const hours = (count: number) =>
  new Set(Array.from({ length: count }, (_, hour) => `2026-06-10T${String(hour).padStart(2, '0')}`));

for (const [name, policy, tooFew, enough] of [
  ['all', { __type: 'airflow.partition_mappers.wait_policy.WaitForAll', __var: {} }, 23, 24],
  ['nothing said, which is all', undefined, 23, 24],
  ['20', atLeast(20), 19, 20],
  ['all but 3', atLeast(-3), 20, 21],
] as const) {
  test(`a roll-up that waits for ${name} is not satisfied by ${tooFew} hours, and is by ${enough}`, () => {
    const mapper = buildMapper(rollup(policy));
    equal(suffices(mapper, '2026-06-10', hours(tooFew)), false);
    equal(suffices(mapper, '2026-06-10', hours(enough)), true);
    equal(suffices(mapper, '2026-06-11', hours(enough)), false);
  });
}

for (const [what, document] of [
  ['a class of a plugin', { __type: 'my.plugin.Mapper', __var: {} }],
  ['a word that every object has', { __type: 'airflow.partition_mappers.constructor', __var: {} }],
  ['a text', 'airflow.partition_mappers.identity.IdentityMapper'],
  ['a window of a plugin', rollup(undefined, 'ConstructorWindow')],
  ['a policy that always holds', rollup(atLeast(0))],
  ['a zone that does not exist', { ...START, __var: { ...START.__var, timezone: 'Mars/Olympus' } }],
  ['no format', { ...START, __var: { ...START.__var, input_format: null } }],
  ['no key', { __type: 'airflow.partition_mappers.fixed_key.FixedKeyMapper', __var: { downstream_key: '' } }],
  ['a limit of nothing', { ...START, __var: { ...START.__var, max_downstream_keys: 0 } }],
] as const) {
  test(`a mapper with ${what} is refused`, () => {
    throws(() => buildMapper(document), { code: 'DAG_INVALID' });
    ok(buildMapper(START), 'and one without that is not');
  });
}

test('a mapper that is nested without end is refused', () => {
  let nested: unknown = START;
  for (let n = 0; n < 30; n++)
    nested = { __type: 'airflow.partition_mappers.chain.ChainMapper', __var: { mappers: [nested, START] } };
  throws(() => buildMapper(nested), { code: 'DAG_INVALID', message: /deeply/ });
});

test('fan-outs within a chain have a bound, whatever their author allows', () => {
  const hour = {
    __type: START.__type,
    __var: { ...START.__var, input_format: '%Y-%m-%dT%H', output_format: '%Y-%m-%dT%H' },
  };
  const fan = {
    __type: 'airflow.partition_mappers.temporal.FanOutMapper',
    __var: {
      upstream_mapper: hour,
      window: { __type: 'airflow.partition_mappers.window.DayWindow', __var: { direction: 'forward' } },
      downstream_mapper: hour,
    },
  };
  const chain = (count: number) =>
    buildMapper({
      __type: 'airflow.partition_mappers.chain.ChainMapper',
      __var: { mappers: Array.from({ length: count }, () => fan), max_downstream_keys: 1_000_000 },
    });
  equal(chain(2).keysOf('2026-06-10T00').length, 576);
  throws(() => chain(3).keysOf('2026-06-10T00'), RangeError);
});
