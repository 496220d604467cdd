/** Properties of decisions over random Dags and states. A failure prints the seed and path with which fast-check repeats it. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { isFinished, TASK_INSTANCE_STATES } from '@airlock/contract/states';
import fc from 'fast-check';
import { dagDocument, mappedOver, type TaskSpec } from '../../../test/kit/dags.ts';
import { checkDagDocument } from '../../domain/dag-document.ts';
import { buildDagModel } from '../../domain/dag-model.ts';
import { TRIGGER_RULES } from '../../domain/trigger-rules.ts';
import { decideRun } from './examine.ts';
import type { Decision, RunSnapshot, State, TiView } from './types.ts';

const NOW = Date.parse('2026-06-10T09:30:00Z');
const RULES = Object.keys(TRIGGER_RULES);

type Shape = {
  readonly rule: number;
  readonly after: readonly number[];
  readonly mapped: boolean;
  readonly empty: boolean;
};
const shapes = fc.array(
  fc.record({
    rule: fc.nat(RULES.length - 1),
    after: fc.array(fc.nat(11), { maxLength: 3 }),
    mapped: fc.boolean(),
    empty: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
);
const states = fc.array(
  fc.option(fc.constantFrom(...TASK_INSTANCE_STATES.filter((s) => s !== 'removed')), { nil: null }),
  {
    minLength: 12,
    maxLength: 12,
  },
);
const lengths = fc.array(fc.nat(3), { minLength: 12, maxLength: 12 });

function tasksOf(list: readonly Shape[]): TaskSpec[] {
  return list.map(({ rule, after, mapped, empty }, i) => {
    // Only earlier tasks come before a later one: no cycle.
    const before = [...new Set(after.filter((n) => n < i).map((n) => `t${n}`))];
    const source = before.find((id) => !list[Number(id.slice(1))]!.mapped);
    const base = {
      id: `t${i}`,
      after: before,
      trigger_rule: RULES[rule]!,
      ...(empty && !mapped ? { _is_empty: true } : {}),
    };
    return mapped && source ? { ...base, ...mappedOver(source) } : base;
  });
}

function snapshotOf(list: readonly Shape[], initial: readonly State[], sizes: readonly number[]): RunSnapshot {
  const tasks = tasksOf(list);
  return {
    nowMs: NOW,
    run: { id: 1, logicalDateMs: null, startDateMs: NOW, versionId: 'v', paused: false },
    model: buildDagModel(checkDagDocument(dagDocument('d', tasks))),
    tis: tasks.map((task, i) => ({
      id: task.id,
      taskId: task.id,
      mapIndex: -1,
      state: initial[i] ?? null,
      tryNumber: initial[i] === null ? 0 : 1,
      versionId: 'v',
      retryAtMs: null,
      rescheduleAtMs: null,
      skippedAtMs: null,
    })),
    lengths: new Map(tasks.map((task, i) => [task.id, sizes[i] ?? 0])),
    resultCounts: new Map(),
    skips: new Map(),
    previous: null,
  };
}

/** The rows after a decision was written for the first `n` tasks in it; the rows of one task belong together. */
function apply(snapshot: RunSnapshot, decision: Decision, n: number): RunSnapshot {
  const taskOf = new Map(snapshot.tis.map((ti) => [ti.id, ti.taskId]));
  const all = [...decision.changes, ...decision.additions].map((part) => ({
    part,
    task: 'id' in part ? taskOf.get(part.id)! : part.taskId,
  }));
  const written = new Set([...new Set(all.map(({ task }) => task))].slice(0, n));
  const parts = all.filter(({ task }) => written.has(task)).map(({ part }) => part);
  const tis = new Map<string, TiView>(snapshot.tis.map((ti) => [ti.id, ti]));
  for (const part of parts) {
    if ('id' in part) {
      const old = tis.get(part.id)!;
      equal(part.from, old.state);
      ok(part.tryNumber >= old.tryNumber);
      tis.set(part.id, {
        ...old,
        state: part.to,
        tryNumber: part.tryNumber,
        mapIndex: part.mapIndex,
        versionId: part.versionId,
      });
    } else {
      const id = `${part.taskId}[${part.mapIndex}]`;
      tis.set(id, { id, ...part, versionId: 'v', retryAtMs: null, rescheduleAtMs: null, skippedAtMs: null });
    }
  }
  return { ...snapshot, tis: [...tis.values()] };
}

const rowsOf = (snapshot: RunSnapshot) =>
  snapshot.tis.map((ti) => `${ti.taskId}[${ti.mapIndex}] ${ti.state} ${ti.tryNumber}`).sort();
const size = (decision: Decision) => decision.changes.length + decision.additions.length;

/** Decides and writes until nothing changes; a bound, since a fixed point must be near. */
function settle(snapshot: RunSnapshot): { snapshot: RunSnapshot; decision: Decision } {
  let at = snapshot;
  for (let i = 0; i < 50; i++) {
    const decision = decideRun(at);
    if (size(decision) === 0) return { snapshot: at, decision };
    at = apply(at, decision, Number.POSITIVE_INFINITY);
  }
  throw new Error('no fixed point');
}

test('a decision that was written in part, then lost, ends in the same rows when it is made again', () => {
  fc.assert(
    fc.property(shapes, states, lengths, fc.nat(12), (list, initial, sizes, cut) => {
      const before = snapshotOf(list, initial, sizes);
      const whole = settle(before);
      const partly = settle(apply(before, decideRun(before), cut));
      deepEqual(rowsOf(partly.snapshot), rowsOf(whole.snapshot));
      deepEqual(partly.decision.end, whole.decision.end);
    }),
    { numRuns: 1000 },
  );
});

test('one examination is enough: the second changes nothing', () => {
  fc.assert(
    fc.property(shapes, states, lengths, (list, initial, sizes) => {
      const before = snapshotOf(list, initial, sizes);
      const after = apply(before, decideRun(before), Number.POSITIVE_INFINITY);
      equal(size(decideRun(after)), 0);
    }),
    { numRuns: 1000 },
  );
});

test('what has ended, and what a worker has, is never touched', () => {
  fc.assert(
    fc.property(shapes, states, lengths, (list, initial, sizes) => {
      const before = snapshotOf(list, initial, sizes);
      for (const change of decideRun(before).changes) {
        const state = before.tis.find((ti) => ti.id === change.id)!.state;
        ok(state === null || state === 'up_for_retry' || state === 'up_for_reschedule', `${state} was changed`);
      }
    }),
    { numRuns: 1000 },
  );
});

test('with workers that always answer, every run ends', () => {
  fc.assert(
    fc.property(
      shapes,
      lengths,
      fc.array(fc.constantFrom<State>('success', 'failed', 'skipped'), { minLength: 1 }),
      (list, sizes, answers) => {
        let at = snapshotOf(list, [], sizes);
        let n = 0;
        for (let i = 0; i < 100; i++) {
          const { snapshot, decision } = settle(at);
          if (decision.end) {
            ok(snapshot.tis.every((ti) => isFinished(ti.state)));
            return;
          }
          const scheduled = snapshot.tis.filter((ti) => ti.state === 'scheduled');
          ok(scheduled.length > 0, 'nothing to do, and the run has not ended');
          at = {
            ...snapshot,
            tis: snapshot.tis.map((ti) =>
              ti.state === 'scheduled' ? { ...ti, state: answers[n++ % answers.length]! } : ti,
            ),
          };
        }
        throw new Error('the run does not end');
      },
    ),
    { numRuns: 1000 },
  );
});
