import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { dagDocument, mappedOver, type TaskSpec } from '../../../test/kit/dags.ts';
import { checkDagDocument } from '../../domain/dag-document.ts';
import { buildDagModel } from '../../domain/dag-model.ts';
import { createBoard } from './board.ts';
import { decideRun } from './examine.ts';
import { decisiveOf, runEnd } from './run-end.ts';
import type { Decision, RunSnapshot, SkipDecision, State, TiView } from './types.ts';

const NOW = Date.parse('2026-06-10T09:30:00Z');

type Setup = {
  dag?: Record<string, unknown>;
  run?: Partial<RunSnapshot['run']>;
  lengths?: Record<string, number>;
  counts?: Record<string, number>;
  skips?: Record<string, SkipDecision>;
  previous?: Record<string, State> | null;
  ti?: Record<string, Partial<TiView>>;
};

/** A snapshot from `task` or `task[index]` → state. */
function snapshot(tasks: readonly TaskSpec[], states: Record<string, State>, setup: Setup = {}): RunSnapshot {
  const model = buildDagModel(checkDagDocument(dagDocument('d', tasks, setup.dag)));
  const tis = Object.entries(states).map(([key, state]): TiView => {
    const [, taskId, index] = /^(.*?)(?:\[(\d+)\])?$/.exec(key)!;
    return {
      id: key,
      taskId: taskId!,
      mapIndex: index === undefined ? -1 : Number(index),
      state,
      tryNumber: state === null ? 0 : 1,
      versionId: 'v1',
      retryAtMs: null,
      rescheduleAtMs: null,
      skippedAtMs: null,
      ...setup.ti?.[key],
    };
  });
  return {
    nowMs: NOW,
    run: { id: 1, logicalDateMs: null, startDateMs: NOW - 1000, versionId: 'v1', paused: false, ...setup.run },
    model,
    tis,
    lengths: new Map(Object.entries(setup.lengths ?? {})),
    resultCounts: new Map(Object.entries(setup.counts ?? {})),
    skips: new Map(Object.entries(setup.skips ?? {})),
    previous: setup.previous ? new Map(Object.entries(setup.previous)) : null,
  };
}

/** What was decided, as key → new state; added rows by their own key. */
function outcome(decision: Decision): Record<string, State> {
  const added = decision.additions.map((row) => [
    row.mapIndex < 0 ? row.taskId : `${row.taskId}[${row.mapIndex}]`,
    row.state,
  ]);
  return Object.fromEntries([...decision.changes.map((change) => [change.id, change.to]), ...added]);
}

const decide = (tasks: readonly TaskSpec[], states: Record<string, State>, setup?: Setup) =>
  decideRun(snapshot(tasks, states, setup));

const data = JSON.parse(
  readFileSync(new URL('../../../test/data/trigger-rules-setup-teardown.json', import.meta.url), 'utf8'),
) as { task_outcomes: Record<string, string>[]; teardown_outcomes: Record<string, string>[] };

const SETUP_TEARDOWN: readonly TaskSpec[] = [
  { id: 's', is_setup: true },
  { id: 'w', after: ['s'] },
  { id: 'x', after: ['w'] },
  { id: 'd', after: ['w'], trigger_rule: 'all_done' },
  { id: 't', after: ['x', 'd', 's'], is_teardown: true, trigger_rule: 'all_done_setup_success' },
];
const word = (decided: State | undefined) =>
  decided === undefined ? 'wait' : decided === 'scheduled' ? 'run' : decided;

test('tasks in the scope of a setup go on as Airflow 3.3.2 lets them', () => {
  equal(data.task_outcomes.length, 25);
  for (const vector of data.task_outcomes) {
    const states = { s: vector.s as State, w: vector.w as State, x: null, d: null, t: null };
    const decided = outcome(decide(SETUP_TEARDOWN, states));
    deepEqual([word(decided.x), word(decided.d)], [vector.x, vector.d], JSON.stringify(vector));
  }
});

test('a teardown runs, waits or ends as Airflow 3.3.2 lets it', () => {
  for (const vector of data.teardown_outcomes) {
    const { t, ...states } = vector;
    const decided = outcome(decide(SETUP_TEARDOWN, { ...(states as Record<string, State>), t: null }));
    equal(word(decided.t), t, JSON.stringify(vector));
  }
});

test('a failure reaches the end of a long chain in one examination', () => {
  const tasks = Array.from({ length: 50 }, (_, i) => ({
    id: `t${String(i).padStart(2, '0')}`,
    after: i ? [`t${String(i - 1).padStart(2, '0')}`] : [],
  }));
  const states = Object.fromEntries(tasks.map((task, i) => [task.id, i === 0 ? 'failed' : null])) as Record<
    string,
    State
  >;
  const decision = decide(tasks, states);
  equal(
    Object.values(outcome(decision)).every((state) => state === 'upstream_failed'),
    true,
  );
  deepEqual(decision.end, { state: 'failed', reason: 'task_failure' });
});

test('empty tasks succeed without a worker, all in one examination; one with a callback goes to a worker', () => {
  const tasks = [
    { id: 'a', _is_empty: true },
    { id: 'b', _is_empty: true, after: ['a'] },
  ];
  deepEqual(decide(tasks, { a: null, b: null }).end, { state: 'success', reason: null });
  const called = [{ id: 'a', _is_empty: true, has_on_success_callback: true }];
  deepEqual(outcome(decide(called, { a: null })), { a: 'scheduled' });
});

test('a failed task in the middle is forgiven when the leaves succeed', () => {
  const tasks = [{ id: 'a' }, { id: 'b', after: ['a'], trigger_rule: 'all_done' }];
  deepEqual(decide(tasks, { a: 'failed', b: 'success' }).end, { state: 'success', reason: null });
  deepEqual(decide(tasks, { a: 'success', b: 'failed' }).end, { state: 'failed', reason: 'task_failure' });
});

test('a run does not end while anything is unfinished, even after a leaf has failed', () => {
  equal(decide([{ id: 'a' }, { id: 'b' }], { a: 'failed', b: 'running' }).end, null);
});

test('a run without task instances succeeds', () => {
  deepEqual(decide([], {}).end, { state: 'success', reason: null });
});

test('a retry waits for its instant, and the run is woken then', () => {
  const setup = (atMs: number) => ({ ti: { a: { retryAtMs: atMs } } });
  const waiting = decide([{ id: 'a', retries: 1 }], { a: 'up_for_retry' }, setup(NOW + 5000));
  deepEqual([outcome(waiting), waiting.end, waiting.wakeAtMs], [{}, null, NOW + 5000]);
  const due = decide([{ id: 'a', retries: 1 }], { a: 'up_for_retry' }, setup(NOW));
  deepEqual(outcome(due), { a: 'scheduled' });
  equal(due.changes[0]?.tryNumber, 2);
});

test('a poke of a sensor goes on in the same try', () => {
  const due = decide(
    [{ id: 'a', _is_sensor: true }],
    { a: 'up_for_reschedule' },
    { ti: { a: { rescheduleAtMs: NOW } } },
  );
  equal(due.changes[0]?.tryNumber, 1);
});

test('what a branch did not follow is skipped, and skipped again after a clear', () => {
  const tasks = [
    { id: 'b', _can_skip_downstream: true },
    { id: 'left', after: ['b'] },
    { id: 'right', after: ['b'] },
  ];
  const decided = decide(
    tasks,
    { b: 'success', left: null, right: null },
    { skips: { 'b#-1': { followed: ['left'] } } },
  );
  deepEqual(outcome(decided), { left: 'scheduled', right: 'skipped' });
  const cleared = decide(
    tasks,
    { b: 'success', left: 'success', right: null },
    { skips: { 'b#-1': { followed: ['left'] } } },
  );
  deepEqual(outcome(cleared), { right: 'skipped' });
});

test('a task that depends on its past waits for it without being a deadlock', () => {
  const tasks = [{ id: 'a', depends_on_past: true }];
  const waiting = decide(tasks, { a: null }, { previous: { 'a#-1': 'failed' } });
  deepEqual([outcome(waiting), waiting.end], [{}, null]);
  deepEqual(outcome(decide(tasks, { a: null }, { previous: { 'a#-1': 'success' } })), { a: 'scheduled' });
  deepEqual(outcome(decide(tasks, { a: null }, { previous: null })), { a: 'scheduled' });
});

test('of a deadlock the callback is told of the first task that waits although something before it has ended', () => {
  const stuck = snapshot(
    [{ id: 'a' }, { id: 'b' }, { id: 'c', after: ['b'] }, { id: 'd', after: ['a'] }, { id: 'e', after: ['a'] }],
    { a: 'success', b: null, c: null, d: null, e: null },
  );
  const of = (reason: 'all_tasks_deadlocked' | 'task_failure' | 'timed_out', of = stuck) =>
    decisiveOf(of, { changes: [], additions: [], end: { state: 'failed', reason }, wakeAtMs: null });
  deepEqual(of('all_tasks_deadlocked'), { id: stuck.tis.find((ti) => ti.taskId === 'd')!.id });
  equal(of('all_tasks_deadlocked', snapshot([{ id: 'a' }], { a: null })), null);
  deepEqual(of('task_failure'), { state: 'failed' });
  equal(of('timed_out'), null, 'nothing was cut short');
});

test('unfinished tasks of which none can ever move are a deadlock; one that waits for its past is not', () => {
  // No document that passed the check leads there: this is the net under a defect of ours, so that a run never hangs.
  const stuck = snapshot([{ id: 'a' }], { a: null });
  deepEqual(runEnd(stuck.model, createBoard(stuck), false, false), { state: 'failed', reason: 'all_tasks_deadlocked' });
  equal(runEnd(stuck.model, createBoard(stuck), true, false), null);
  equal(runEnd(stuck.model, createBoard(stuck), false, true), null);
  const past = snapshot([{ id: 'a', depends_on_past: true }], { a: null });
  equal(runEnd(past.model, createBoard(past), false, false), null);
  const running = snapshot([{ id: 'a' }], { a: 'running' });
  equal(runEnd(running.model, createBoard(running), false, false), null);
});

test('a task that a newer version brings back is no longer removed; one that its worker reported as removed stays so', () => {
  const older = { ti: { a: { versionId: 'v0' } } };
  deepEqual(outcome(decide([{ id: 'a' }], { a: 'removed' }, older)), { a: 'scheduled' });
  deepEqual(outcome(decide([{ id: 'a' }], { a: 'removed' })), {});
});

test('a run of a paused Dag passes on failures and skips, but starts nothing', () => {
  const tasks = [{ id: 'a' }, { id: 'b', after: ['a'] }, { id: 'c' }];
  const decision = decide(tasks, { a: 'failed', b: null, c: null }, { run: { paused: true } });
  deepEqual([outcome(decision), decision.end], [{ b: 'upstream_failed' }, null]);
});

test('in a Dag that fails fast one failure stops the rest, and leaves what had ended alone', () => {
  const tasks = [{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd', after: ['c'] }, { id: 'e' }];
  const decision = decide(
    tasks,
    { a: 'failed', b: 'running', c: 'scheduled', d: null, e: 'skipped' },
    { dag: { fail_fast: true } },
  );
  deepEqual(outcome(decision), { b: 'failed', c: 'skipped', d: 'skipped' });
  equal(decision.end?.state, 'failed');
});

test('a run over its time fails, and all that is unfinished is skipped', () => {
  const decision = decide([{ id: 'a' }, { id: 'b' }], { a: 'running', b: 'success' }, { dag: { dagrun_timeout: 1 } });
  deepEqual([outcome(decision), decision.end], [{ a: 'skipped' }, { state: 'failed', reason: 'timed_out' }]);
});

test('nothing is scheduled before a logical date in the future', () => {
  const decision = decide([{ id: 'a' }], { a: null }, { run: { logicalDateMs: NOW + 1000 } });
  deepEqual([outcome(decision), decision.wakeAtMs], [{}, NOW + 1000]);
});

const MAPPED: readonly TaskSpec[] = [{ id: 'l' }, { id: 'm', after: ['l'], ...mappedOver('l') }];

test('index -1 becomes 0 and the others are added, ready at once', () => {
  const decision = decide(MAPPED, { l: 'success', m: null }, { lengths: { l: 3 } });
  deepEqual(decision.changes, [{ id: 'm', from: null, to: 'scheduled', tryNumber: 1, mapIndex: 0, versionId: 'v1' }]);
  deepEqual(
    decision.additions.map((row) => [row.mapIndex, row.state, row.tryNumber]),
    [
      [1, 'scheduled', 1],
      [2, 'scheduled', 1],
    ],
  );
});

test('an upstream that ended without a length makes the mapped task upstream_failed', () => {
  deepEqual(outcome(decide(MAPPED, { l: 'success', m: null })), { m: 'upstream_failed' });
});

test('after a clear a shorter list removes the surplus, a longer one adds', () => {
  const rows = { l: 'success', 'm[0]': null, 'm[1]': null, 'm[2]': null } as const;
  deepEqual(outcome(decide(MAPPED, rows, { lengths: { l: 2 } })), {
    'm[0]': 'scheduled',
    'm[1]': 'scheduled',
    'm[2]': 'removed',
  });
  deepEqual(outcome(decide(MAPPED, rows, { lengths: { l: 4 } })), {
    'm[0]': 'scheduled',
    'm[1]': 'scheduled',
    'm[2]': 'scheduled',
    'm[3]': 'scheduled',
  });
});

test('mapping over a mapped task has the length of its results, once all of it has ended', () => {
  const tasks = [...MAPPED, { id: 'n', after: ['m'], trigger_rule: 'all_done', ...mappedOver('m') }];
  deepEqual(outcome(decide(tasks, { l: 'success', 'm[0]': 'success', 'm[1]': 'running', n: null })), {});
  const done = decide(tasks, { l: 'success', 'm[0]': 'success', 'm[1]': 'success', n: null }, { counts: { m: 2 } });
  deepEqual(outcome(done), { n: 'scheduled', 'n[1]': 'scheduled' });
});

test('several lists give their product', () => {
  const field = mappedOver('l');
  const both = {
    ...field,
    expand_input: {
      type: 'dict-of-lists',
      value: { __type: 'dict', __var: { ...field.expand_input.value.__var, other: [1, 2, 3] } },
    },
  };
  const decision = decide(
    [{ id: 'l' }, { id: 'm', after: ['l'], ...both }],
    { l: 'success', m: null },
    { lengths: { l: 2 } },
  );
  equal(decision.additions.length + decision.changes.length, 6);
});

test('tasks of a mapped group follow the same index, and the group’s length', () => {
  const group = {
    _group_id: null,
    children: {
      g: [
        'taskgroup',
        {
          _group_id: 'g',
          is_mapped: true,
          expand_input: mappedOver('l').expand_input,
          children: { 'g.a': ['operator', 'g.a'], 'g.b': ['operator', 'g.b'] },
        },
      ],
    },
  };
  const tasks = [
    { id: 'l' },
    { id: 'g.a', after: ['l'], _needs_expansion: true },
    { id: 'g.b', after: ['g.a'], _needs_expansion: true },
  ];
  const setup = { dag: { task_group: group }, lengths: { l: 2 } };
  deepEqual(outcome(decide(tasks, { l: 'success', 'g.a': null, 'g.b': null }, setup)), {
    'g.a': 'scheduled',
    'g.a[1]': 'scheduled',
  });
  const later = decide(
    tasks,
    { l: 'success', 'g.a[0]': 'failed', 'g.a[1]': 'success', 'g.b[0]': null, 'g.b[1]': null },
    setup,
  );
  deepEqual(outcome(later), { 'g.b[0]': 'upstream_failed', 'g.b[1]': 'scheduled' });
});

test('an unpinned run follows the newest version: tasks come, go, and move to it', () => {
  const decision = decide(
    [{ id: 'a' }, { id: 'new', after: ['a'] }],
    { a: 'running', gone: null },
    { run: { versionId: 'v2' } },
  );
  deepEqual(outcome(decision), { gone: 'removed', new: null });
  const moved = decide(
    [{ id: 'a' }, { id: 'b', after: ['a'] }],
    { a: 'running', b: null },
    { run: { versionId: 'v2' } },
  );
  deepEqual(moved.changes, [{ id: 'b', from: null, to: null, tryNumber: 0, mapIndex: -1, versionId: 'v2' }]);
});

test('deciding again on what was decided changes nothing', () => {
  const tasks = [...MAPPED, { id: 'z', after: ['m'] }];
  const first = decide(tasks, { l: 'success', m: null, z: null }, { lengths: { l: 2 } });
  const states = { l: 'success', 'm[0]': 'scheduled', 'm[1]': 'scheduled', z: null } as const;
  equal(first.additions.length, 1);
  const second = decide(tasks, states, { lengths: { l: 2 } });
  deepEqual([second.changes, second.additions, second.end], [[], [], null]);
});

// Two upstreams that end at nearly the same moment: without the wait, milliseconds decide what becomes of the run.
for (const [what, states, agoMs, expected] of [
  ['waits while another upstream runs', { a: 'skipped', b: 'running' }, 400, null],
  ['counts at once when nothing else runs', { a: 'skipped', b: null }, 400, 'skipped'],
  ['counts when it is a second old', { a: 'skipped', b: 'running' }, 1000, 'skipped'],
  ['gives way to a failure meanwhile', { a: 'skipped', b: 'failed' }, 400, 'upstream_failed'],
] as const) {
  test(`all_success: a skip ${what}`, () => {
    const tasks = [{ id: 'a' }, { id: 'b' }, { id: 'c', after: ['a', 'b'] }];
    const found = decide(tasks, { ...states, c: null }, { ti: { a: { skippedAtMs: NOW - agoMs } } });
    equal(outcome(found).c ?? null, expected);
    equal(found.wakeAtMs, expected === null ? NOW + 600 : null);
  });
}

test('a skip of another rule waits for nobody: what comes later changes nothing there', () => {
  const tasks = [{ id: 'a' }, { id: 'b' }, { id: 'c', after: ['a', 'b'], trigger_rule: 'none_skipped' }];
  const found = decide(tasks, { a: 'skipped', b: 'running', c: null }, { ti: { a: { skippedAtMs: NOW } } });
  equal(outcome(found).c, 'skipped');
});
