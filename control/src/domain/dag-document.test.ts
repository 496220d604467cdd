import { deepEqual, doesNotThrow, equal, throws } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { dagDocument, type TaskSpec } from '../../test/kit/dags.ts';
import { checkDagDocument } from './dag-document.ts';
import { buildDagModel } from './dag-model.ts';

const folder = new URL('../../test/data/serialized-dags/', import.meta.url);

test('every document of the real serializer passes, and can be modelled', () => {
  let seen = 0;
  for (const file of readdirSync(folder)) {
    const document = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { __version?: number };
    if (document.__version === undefined) continue;
    doesNotThrow(() => buildDagModel(checkDagDocument(document)), file);
    seen += 1;
  }
  equal(seen, 43);
});

const refused = (document: unknown, message: RegExp) =>
  throws(
    () => checkDagDocument(document),
    (error: Error & { code?: string }) => {
      equal(error.code, 'DAG_INVALID');
      equal(message.test(error.message), true, error.message);
      return true;
    },
  );
const doc = (tasks: readonly TaskSpec[], dag?: Record<string, unknown>) => dagDocument('d', tasks, dag);

test('a cycle is refused and named, in the direction of its edges', () => {
  const tasks = [{ id: 'a', after: ['c'] }, { id: 'b', after: ['a'] }, { id: 'c', after: ['b'] }, { id: 'ok' }];
  refused(doc(tasks), /has a cycle: a → b → c → a|has a cycle: b → c → a → b|has a cycle: c → a → b → c/);
  refused(doc([{ id: 'a', after: ['a'] }]), /has a cycle: a → a/);
  // The same tasks without the last edge are fine.
  doesNotThrow(() => checkDagDocument(doc([{ id: 'a' }, { id: 'b', after: ['a'] }, { id: 'c', after: ['b'] }])));
});

test('a chain of 10,000 tasks is checked without running out of stack, and one task more is refused', () => {
  const chain = (n: number) =>
    Array.from({ length: n }, (_, i) => ({ id: `t${i}`, downstream_task_ids: i + 1 < n ? [`t${i + 1}`] : [] }));
  const wrap = (n: number) => {
    const base = doc([]);
    return {
      ...base,
      dag: {
        ...base.dag,
        tasks: chain(n).map(({ id, ...rest }) => ({ __type: 'operator', __var: { task_id: id, ...rest } })),
      },
    };
  };
  const model = buildDagModel(checkDagDocument(wrap(10_000)));
  equal(model.tasks.get('t0')?.totalWeight, 10_000);
  refused(wrap(10_001), /can't be read/);
});

test('what a document must not be is refused, each with its own words', () => {
  refused(null, /can't be read/);
  refused([], /can't be read/);
  refused({ ...doc([]), __version: 1 }, /__version/);
  refused({ ...doc([]), more: 1 }, /more/);
  refused(doc([{ id: 'a' }, { id: 'a' }]), /two tasks with the id "a"/);
  refused(doc([{ id: 'a', downstream_task_ids: ['nowhere'] }]), /"nowhere", which is not in the Dag/);
  refused(doc([{ id: 'a', trigger_rule: 'dummy' }]), /"dummy" is no trigger rule/);
  refused(doc([{ id: 'a', trigger_rule: 'constructor' }]), /no trigger rule/);
  refused(doc([{ id: 'a', weight_rule: 'my.Strategy' }]), /no weight rule/);
  refused(doc([{ id: 'a b' }]), /task_id/);
  refused(doc([{ id: '' }]), /task_id/);
  refused(doc([{ id: 'a', retries: -1 }]), /retries/);
  refused(doc([{ id: 'a', retry_delay: Number.POSITIVE_INFINITY }]), /retry_delay/);
  refused(doc([{ id: 'a', pool_slots: 0 }]), /pool_slots/);
  refused(doc([{ id: 'a', _is_sensor: false }]), /_is_sensor/);
  refused(doc([{ id: 'a', _is_mapped: true }]), /mapping is missing/);
  refused(doc([{ id: 'a', __airlock_needs: '{"passwords":["x"]}' }]), /needs can't be read/);
  refused(doc([{ id: 'a', __airlock_needs: 'no json' }]), /needs can't be read/);
  refused(doc([], { timezone: 'Nowhere/Land' }), /no time zone/);
  refused(doc([], { max_active_runs: 0 }), /max_active_runs/);
  refused(doc([], { allowed_run_types: ['sometimes'] }), /unknown type "sometimes"/);
  refused(
    doc([], { timetable: { __type: 'airflow.timetables.simple.ContinuousTimetable', __var: {} }, max_active_runs: 2 }),
    /more than one active run/,
  );
  refused(doc([{ id: 'a', trigger_rule: 'all_done' }], { fail_fast: true }), /fails fast/);
  refused({ ...doc([]), dag: { ...doc([]).dag, tasks: [{ task_id: 'bare' }] } }, /tasks/);
});

test('a document nested 10,000 deep, or of 9 million characters, is refused before it is read', () => {
  let deep: unknown = 1;
  for (let i = 0; i < 10_000; i++) deep = { a: deep };
  refused(doc([], { doc_md: deep }), /nested more than 64/);
  refused(doc([], { note: 'x'.repeat(9_000_000) }), /characters/);
});

test('task values come from the task, its partial arguments, the author’s installation, or the defaults', () => {
  const read = (file: string) =>
    buildDagModel(checkDagDocument(JSON.parse(readFileSync(new URL(file, folder), 'utf8'))));
  const installed = read('client_defaults.mapping.json');
  deepEqual([installed.tasks.get('dicts')?.retries, installed.tasks.get('dicts')?.queue], [3, 'blue']);
  equal(installed.tasks.get('square')?.retries, 2);
  const stock = read('mapping.json');
  deepEqual(
    [stock.tasks.get('dicts')?.retries, stock.tasks.get('dicts')?.queue, stock.tasks.get('dicts')?.pool],
    [0, 'default', 'default_pool'],
  );
});
