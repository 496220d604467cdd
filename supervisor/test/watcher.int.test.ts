/** Triggers that watch for assets, in their real children: what they say, share and keep, and what their death costs others. @see decision 23 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withoutPython } from '../../tests/kit/airflow-venv.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { of, python, START, watched } from './kit/python-triggers.ts';

describe('triggers that watch for assets', { skip: withoutPython }, () => {
  test('what watches for an asset goes on after each event, reads by routes of its own, and begins anew when it has ended', async () => {
    await using role = await python();
    await using queue = await watched(7);
    role.add(queue.workload);
    const seen = (payload: unknown) =>
      waitFor(`the event ${payload}`, () => role.server.events.some((event) => event.payload === payload), {
        timeoutMs: START,
      });
    queue.put('one', 'two', 'read');
    await seen('of /triggers/7/variables/plain');
    assert.deepEqual(
      role.server.events.map(({ payload }) => payload),
      ['one', 'two', 'of /triggers/7/variables/plain'],
      'in their order',
    );
    role.server.fail(3);
    queue.put('kept');
    await seen('kept');
    role.server.refusing.add('too large');
    for (const end of ['end', 'fail', 'die', 'too large']) {
      queue.put(end);
      await queue.taken();
      queue.put(`after ${end}`);
      await seen(`after ${end}`);
    }
    assert.equal(new Set(role.server.events.map(({ eventId }) => eventId)).size, role.server.events.length);
    assert.ok(
      role.server.asked.every(({ tiId }) => tiId === undefined),
      'in the name of no task',
    );
    assert.deepEqual(role.server.outcomes(7), [], 'it comes to no end');
    role.server.known.delete(7);
    role.server.cancelled.set(7, true);
    role.add(of('a', 8, 'Asks', {}));
    await role.server.outcome(8, START);
    queue.put('nobody wants it');
    role.add(of('a', 9, 'Ticks', { turns: 20 }));
    await role.server.outcome(9, START);
    assert.deepEqual(queue.waiting, ['nobody wants it'], 'one that is cancelled takes nothing');
  });

  /** All the events of so many, in the order in which each was told. */
  const told = (role: Awaited<ReturnType<typeof python>>, count: number) =>
    waitFor(`${count} events`, () => (role.server.events.length >= count ? role.server.events : null), {
      timeoutMs: START,
    });

  test('those that share a stream have one reader, and each has its own of what that reads, also when the first has left', async () => {
    await using role = await python();
    await using queue = await watched(7, 'Shares');
    role.add(queue.like(7, { wants: 'a' }), queue.like(8, { wants: 'b' }), queue.like(9, { wants: 'of /triggers' }));
    // Whichever comes first begins to read: what is there before the others have come is not theirs.
    for (const word of ['a', 'b']) {
      const beat = setInterval(() => queue.put(`${word}-0`), 100);
      await waitFor(`${word} is heard`, () => role.server.events.some(({ payload }) => payload === `${word}-0`), {
        timeoutMs: START,
      });
      clearInterval(beat);
    }
    await queue.taken();
    queue.put('b-1', 'a-1', 'c-1', 'a-2', 'b-2');
    const heard = (id: number) =>
      role.server.events.filter((event) => event.id === id && !String(event.payload).endsWith('-0'));
    await waitFor('all have theirs', () => heard(7).length + heard(8).length >= 4, { timeoutMs: START });
    const words = (id: number) => heard(id).map(({ payload }) => payload);
    assert.deepEqual(
      [words(7), words(8)],
      [
        ['a-1', 'a-2'],
        ['b-1', 'b-2'],
      ],
    );

    role.server.known.delete(7);
    role.server.cancelled.set(7, true);
    role.add(of('a', 1, 'Asks', {}));
    await role.server.outcome(1, START);
    role.server.cancelled.delete(7);
    queue.put('read', 'a-3', 'b-3');
    await waitFor('the others go on', () => words(8).includes('b-3'), { timeoutMs: START });
    assert.deepEqual(words(9), ['of /triggers/8/variables/plain'], 'it reads in the name of one that is still there');
    assert.deepEqual(words(7), ['a-1', 'a-2']);

    queue.put('end the stream');
    await queue.taken();
    const again = setInterval(() => queue.put('b-4'), 200);
    await waitFor('it begins anew', () => words(8).includes('b-4'), { timeoutMs: START });
    clearInterval(again);
  });

  test('a message of a shared stream is done with when its event is stored, and not before', async () => {
    await using role = await python();
    await using queue = await watched(7, 'Acknowledges');
    role.add(queue.like(7, { wants: 'a' }));
    const done = (word: string) =>
      waitFor(`${word} is done with`, () => queue.said.includes(`done/${word}`), { timeoutMs: START });
    queue.put('a-1', 'b-1');
    await done('a-1');
    assert.deepEqual(
      (await told(role, 1)).map(({ payload }) => payload),
      ['a-1'],
    );
    await done('b-1');
    role.server.refusing.add('a-refused');
    queue.put('a-refused', 'a-2');
    await queue.taken();
    const again = setInterval(() => queue.put('a-3'), 200);
    await done('a-3');
    clearInterval(again);
    assert.ok(!queue.said.includes('done/a-refused'), 'what is stored nowhere is not done with');
  });

  test('what watches for an asset keeps things of it, by a route of its own', async () => {
    await using role = await python();
    await using queue = await watched(7, 'Keeps');
    role.add(queue.workload);
    queue.put('one', 'two');
    assert.deepEqual(
      (await told(role, 2)).map(({ payload }) => payload),
      [
        [null, 'one'],
        ['one', 'two'],
      ],
    );
    assert.deepEqual([...role.server.kept], [['7 name=asset-7&key=last', 'two']]);
  });

  test('a watcher that kills its process again and again costs the tasks beside it nothing but a new beginning', async () => {
    await using role = await python();
    await using queue = await watched(7);
    role.add(queue.workload);
    queue.put('ready');
    await waitFor('it watches', () => role.server.events.length > 0, { timeoutMs: START });
    role.add(of('a', 1, 'Ticks', { turns: 40 }));
    let killed = 0;
    const killer = setInterval(() => {
      if (queue.waiting.length > 0) return;
      killed++;
      queue.put('die');
    }, 100);
    try {
      assert.equal((await role.server.outcome(1, START)).kind, 'event');
    } finally {
      clearInterval(killer);
    }
    assert.ok(killed >= 2, `${killed} deaths`);
  });
});
