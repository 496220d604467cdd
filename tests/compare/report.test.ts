import { deepEqual, equal, match } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempHome } from '../kit/temp-home.ts';
import { type Ends, readEnds, writeEnds } from './keep.ts';
import { pageOf, summaryOf } from './report.ts';

const side = (states: Record<string, string>, errors: Record<string, string> = {}): Ends => ({
  ends: new Map(
    Object.entries(states).map(([id, state]) => [
      id,
      {
        state,
        tasks: [{ task_id: 't', map_index: -1, state, try_number: 1, start_date: null, end_date: null }],
        xcoms: new Map([['t[-1] k', '1']]),
      },
    ]),
  ),
  errors: new Map(Object.entries(errors)),
  edges: new Map(),
});

test('a Dag that ends alike counts, one that differs or is missing is named', () => {
  const found = summaryOf(side({ a: 'success', b: 'success', c: 'failed' }), side({ a: 'success', b: 'failed' }), null);
  deepEqual([found.alike, found.unexplained], [1, ['b', 'c']]);
  deepEqual(summaryOf(side({ a: 'success' }), side({ a: 'success' }), null).unexplained, []);
});

test('an exception covers what its reason explains and nothing else', () => {
  const random = (value: string, state = 'success') => {
    const ends = side({ example_asset_state_store_producer: state });
    return {
      ...ends,
      ends: new Map(
        [...ends.ends].map(([id, end]) => [id, { ...end, xcoms: new Map([['load[-1] return_value', value]]) }]),
      ),
    };
  };
  deepEqual(summaryOf(random('1'), random('2'), null).unexplained, []);
  deepEqual(summaryOf(random('1'), random('2', 'failed'), null).unexplained, ['example_asset_state_store_producer']);
});

test('a file that neither can import is alike when both say the same of it', () => {
  const text = 'Traceback …\nairflow.exceptions.SerializationError: not registered';
  const files = (error: string) => side({}, { 'core/x.py': error });
  equal(summaryOf(files(text), files(text), null).alike, 1);
  equal(summaryOf(files(text), files('ModuleNotFoundError: no y'), null).alike, 0);
  equal(summaryOf(files(text), side({}), null).alike, 0);
});

test('the page has a row for each Dag and says how many are alike', () => {
  const page = pageOf(summaryOf(side({ a: 'success', b: 'success' }), side({ a: 'success' }), null));
  match(page, /^1 of 2 are alike\.$/m);
  match(page, /^\| a \| success \| 1 success \| 1 \| alike \|$/m);
  match(page, /^\| b \| success \| 1 success \| 1 \| differs: run success \/ no Dag; /m);
});

test('rows of single Dags take the place of theirs, and the others stay', () => {
  const page = pageOf(summaryOf(side({ a: 'success', b: 'success' }), side({ a: 'success' }), null));
  const again = pageOf(summaryOf(side({ b: 'failed' }), side({ b: 'failed' }), ['b']), page);
  match(again, /^2 of 2 are alike\.$/m);
  match(again, /^\| a \| success \| 1 success \| 1 \| alike \|\n\| b \| failed \| 1 failed \| 1 \| alike \|$/m);
});

test('what was kept is read again as it was', () => {
  using folder = tempHome();
  const file = join(folder.path, 'kept/airflow.json');
  const ends = side({ a: 'success' }, { 'x.py': 'error' });
  writeEnds(file, ends);
  deepEqual(readEnds(file), ends);
  equal(readEnds(join(folder.path, 'none.json')).ends.size, 0);
});
