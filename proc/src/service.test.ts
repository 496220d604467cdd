import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AppError, isAppError } from '@airlock/contract/errors';
import type { Exit } from './node-child.ts';
import { keepRunning, type Running, restartDelayMs } from './service.ts';

/** A process that ends when told to. */
function fake(
  pid: number,
  ready: Promise<Record<string, unknown>> = Promise.resolve({ pid }),
): Running & { die: (exit?: Exit) => void } {
  const exited = Promise.withResolvers<Exit>();
  const die = (exit: Exit = { code: null, signal: 'SIGKILL' }) => exited.resolve(exit);
  return {
    pid,
    ready,
    exited: exited.promise,
    send: () => undefined,
    stop: async () => {
      die({ code: 0, signal: null });
      await exited.promise;
    },
    die,
  };
}
const log = () => undefined;

test('The first death is healed at once, further ones after growing waits, with a bound', () => {
  assert.deepEqual([1, 2, 3, 4, 20].map(restartDelayMs), [0, 50, 100, 200, 5000]);
});

test('What dies is started again, and each start that works is told', async () => {
  const started: Array<ReturnType<typeof fake>> = [];
  const ready = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const service = keepRunning({
    name: 'x',
    log,
    start: async () => {
      started.push(fake(started.length + 1));
      return started.at(-1)!;
    },
    onReady: (_info, restarts) => ready[restarts]?.resolve(),
  });
  assert.deepEqual(await service.firstReady, { pid: 1 });
  started[0]!.die();
  await ready[1]!.promise;
  assert.equal(service.pid(), 2);
  await service.stop(100);
  assert.equal(service.pid(), 0);
  assert.equal(started.length, 2);
});

/** Whether it has been fulfilled by the next turn of the event loop. */
const settled = (promise: Promise<unknown>) => Promise.race([promise.then(() => true), turn(false)]);

test('Who waits for a service that fails several times on its way is told of the one that comes up', async () => {
  const started: Array<ReturnType<typeof fake>> = [];
  const failing = new Promise<never>(() => undefined);
  const isUp = (pid: number) => pid === 1 || pid === 4;
  const third = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const service = keepRunning({
    name: 'x',
    log,
    start: async () => {
      const pid = started.length + 1;
      if (pid === 4) {
        third.resolve();
        await gate.promise;
      }
      const one = isUp(pid) ? fake(pid) : fake(pid, failing);
      started.push(one);
      if (!isUp(pid)) one.die({ code: 2, signal: null });
      return one;
    },
  });
  assert.deepEqual(await service.whenReady(), { pid: 1 });
  assert.equal(await settled(service.whenReady()), true, 'control: one that is up is not waited for');
  started[0]!.die();
  await turn();
  const waiting = service.whenReady();
  assert.equal(await settled(waiting), false, 'one that went down is waited for anew');
  await third.promise;
  assert.equal(await settled(waiting), false, 'a start that failed is none');
  gate.resolve();
  assert.deepEqual(await waiting, { pid: 4 });
  assert.deepEqual(await service.firstReady, { pid: 1 });
  await service.stop(100);
});

test('A process that says before it ever worked that it can not start is believed', async () => {
  let starts = 0;
  const service = keepRunning({
    name: 'x',
    log,
    start: async () => {
      starts += 1;
      const one = fake(1, Promise.reject(new AppError('PORT_IN_USE', { public: 'in use' })));
      one.ready.catch(() => undefined);
      one.die({ code: 2, signal: null });
      return one;
    },
  });
  // Whether its word or its end is seen first must not matter.
  await assert.rejects(service.firstReady, (error) => isAppError(error));
  await service.stop(100);
  assert.ok(starts <= 3);
});

test('A first start that never works is given up; a later one is tried for ever', async () => {
  let starts = 0;
  const service = keepRunning({
    name: 'x',
    log,
    start: async () => {
      starts += 1;
      const one = fake(starts, new Promise(() => undefined));
      one.die({ code: 1, signal: null });
      return one;
    },
  });
  await assert.rejects(service.firstReady, /ended with status 1 before it was ready, 3 times in a row/);
  assert.equal(starts, 3);
});

test('A process that is being started while everything stops does not stay', async () => {
  const gate = Promise.withResolvers<void>();
  const one = fake(1, new Promise(() => undefined));
  const service = keepRunning({
    name: 'x',
    log,
    start: async () => {
      await gate.promise;
      return one;
    },
  });
  const stopped = service.stop(100);
  gate.resolve();
  await stopped;
  assert.deepEqual(await one.exited, { code: 0, signal: null });
});
