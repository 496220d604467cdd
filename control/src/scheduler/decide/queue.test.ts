import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTurnNear, PLACES_PER_TURN, pickForQueue, type QueueCandidate } from './queue.ts';
import { createTurns } from './turns.ts';

let n = 0;
const candidate = (dag: string, over: Partial<QueueCandidate> = {}): QueueCandidate => ({
  id: `${++n}`,
  dag_run_id: n,
  dag_id: dag,
  team: null,
  task_id: 't',
  pool: 'p',
  pool_slots: 1,
  pool_free: 1,
  total_left: 1000,
  run_left: 16,
  task_dag_left: null,
  task_run_left: null,
  since_ms: 0,
  ...over,
});

/** One place after the other, as a pool of one slot gives them. The first of `dags` never runs out and always comes first. */
function places(dags: readonly string[], count: number): string[] {
  const turns = createTurns();
  return Array.from({ length: count }, (_, at) => {
    const result = pickForQueue(
      dags.map((dag, place) => candidate(dag, { since_ms: place })),
      256,
      turns,
    );
    turns.note(result, 1000 + at);
    assert.equal(result.picked.length, 1);
    return result.picked[0]!.dag_id;
  });
}

test('at every sixteenth place of a pool the Dag goes first that has waited longest', () => {
  const got = places(['flood', 'small'], 4 * PLACES_PER_TURN);
  assert.deepEqual(
    got.flatMap((dag, at) => (dag === 'small' ? [at] : [])),
    [15, 31, 47, 63],
  );
});

test('each of many Dags has its turn, in the order in which they began to wait', () => {
  const small = Array.from({ length: 10 }, (_, i) => `small${i}`);
  const got = places(['flood', ...small], 10 * PLACES_PER_TURN).filter((dag) => dag !== 'flood');
  assert.deepEqual(got, small);
});

test('Dags that keep coming do not overtake one that has waited and had its turn', () => {
  const turns = createTurns();
  const seen: string[] = [];
  for (let at = 0; at < 6 * PLACES_PER_TURN; at++) {
    const fresh = candidate(`fresh${at}`, { since_ms: 1000 + at });
    const result = pickForQueue([candidate('flood'), candidate('small'), fresh], 256, turns);
    turns.note(result, 1000 + at);
    seen.push(result.picked[0]!.dag_id);
  }
  assert.ok(seen.filter((dag) => dag === 'small').length >= 3, seen.join(' '));
});

test('places that nobody else wanted are no turns', () => {
  const turns = createTurns();
  for (let at = 0; at < 40; at++) turns.note(pickForQueue([candidate('alone')], 256, turns), at);
  assert.equal(turns.sinceTurn.size, 0);
  assert.equal(turns.servedAtMs('p', 'alone'), undefined);
  turns.note(pickForQueue([candidate('first'), candidate('second')], 256, turns), 77);
  assert.deepEqual([turns.sinceTurn.get('p'), turns.servedAtMs('p', 'first')], [1, 77]);
});

test('whose turn it is must fit like any other; else the next has it', () => {
  const turns = createTurns();
  turns.note({ picked: [], contended: true, sinceTurn: new Map([['p', PLACES_PER_TURN - 1]]) }, 0);
  const big = candidate('big', { pool_slots: 2 });
  const { picked } = pickForQueue([candidate('flood'), big, candidate('small', { since_ms: 5 })], 256, turns);
  // 'flood' has waited as long as 'big'; the room is for one.
  assert.deepEqual(
    picked.map((c) => c.dag_id),
    ['flood'],
  );
  turns.note({ picked: [candidate('flood')], contended: true, sinceTurn: turns.sinceTurn }, 9);
  const next = pickForQueue([candidate('flood'), big, candidate('small', { since_ms: 5 })], 256, turns);
  assert.deepEqual(
    next.picked.map((c) => c.dag_id),
    ['small'],
  );
});

test('turns of one pool are not counted for another', () => {
  const turns = createTurns();
  turns.note({ picked: [], contended: true, sinceTurn: new Map([['q', PLACES_PER_TURN - 1]]) }, 0);
  const two = [candidate('flood'), candidate('small', { since_ms: -1 })];
  assert.equal(isTurnNear(two, turns), false);
  assert.deepEqual(
    pickForQueue(two, 256, turns).picked.map((c) => c.dag_id),
    ['flood'],
  );
  const inQ = two.map((c) => ({ ...c, pool: 'q' }));
  assert.equal(isTurnNear(inQ, turns), true);
  assert.deepEqual(
    pickForQueue(inQ, 256, turns).picked.map((c) => c.dag_id),
    ['small'],
  );
});

test('no more are taken than may be, and none twice; what room there is for is no turn, also when it takes two passes', () => {
  const many = (room: number) => Array.from({ length: 100 }, (_, i) => candidate(`d${i % 7}`, { pool_free: room }));
  const { picked, contended } = pickForQueue(many(1000), 40, createTurns());
  assert.equal(picked.length, 40);
  assert.equal(new Set(picked).size, 40);
  assert.equal(contended, false);
  const control = pickForQueue(
    many(1).map((c) => ({ ...c, total_left: 39 })),
    40,
    createTurns(),
  );
  assert.equal(control.contended, true);
});
