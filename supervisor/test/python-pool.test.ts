/** Which child a Dag file or a try gets: always a fresh one, of its own bundle. Children are stand-ins; what they are is the sandbox's test. */
import { deepEqual, equal, notEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ChildExit, SandboxedChild, SandboxSpec } from '@airlock/proc/sandbox/index';
import { waitFor } from '../../tests/kit/wait.ts';
import { createPythonPool } from '../src/python/pool.ts';

type StandIn = SandboxedChild & { readonly root: string; end(): void };

function poolOf(size: number, idleMs = 60_000) {
  const started: StandIn[] = [];
  const killed: StandIn[] = [];
  const failures: unknown[] = [];
  let broken = false;
  const pool = createPythonPool({
    size,
    idleMs,
    onFailure: (error) => failures.push(error),
    spec: (root) => ({ entry: root }) as SandboxSpec,
    launch: ({ entry }) => {
      if (broken) throw new Error('no process');
      const exited = Promise.withResolvers<ChildExit>();
      const child = {
        root: entry,
        exited: exited.promise,
        end: () => exited.resolve({ code: 0, signal: null }),
        kill() {
          killed.push(child);
          child.end();
          return exited.promise;
        },
      } as StandIn;
      started.push(child);
      return child;
    },
  });
  return { pool, started, killed, failures, breakLaunch: (on: boolean) => (broken = on) };
}

test('a child is given out once, and another one waits for the next', async () => {
  const { pool, started } = poolOf(1);
  const first = pool.take('/a');
  equal(started.length, 1);
  await turn();
  equal(started.length, 2);
  const second = pool.take('/a');
  equal(second, started[1], 'the idle one');
  notEqual(second, first);
  await pool.stop();
});

test('a child of one bundle never serves another', async () => {
  const { pool, started } = poolOf(1);
  pool.take('/a');
  await turn();
  const other = pool.take('/b') as StandIn;
  equal(other.root, '/b');
  equal((pool.take('/a') as StandIn).root, '/a');
  deepEqual(
    started.map((child) => child.root),
    ['/a', '/a', '/b'],
  );
  await pool.stop();
});

test('one that dies while it waits is not given out, and is replaced with the next use only', async () => {
  const { pool, started } = poolOf(1);
  pool.take('/a');
  await turn();
  started[1]!.end();
  await turn();
  equal(started.length, 2);
  equal(pool.take('/a'), started[2]);
  await pool.stop();
});

test('without use the idle ones are ended', async () => {
  const { pool, started, killed } = poolOf(2, 20);
  pool.take('/a');
  await waitFor('the idle ones are ended', () => killed.length === 2);
  equal(started.length, 3);
  deepEqual(killed, started.slice(1));
  await pool.stop();
});

test('stopping ends the idle ones, and none is started after it', async () => {
  const { pool, started, killed } = poolOf(2);
  pool.take('/a');
  await turn();
  pool.take('/a');
  await pool.stop();
  await turn();
  equal(killed.length, 1);
  equal(started.length, 3);
});

test('that an idle one can not be started is said, and hurts nobody who has a child', async () => {
  const { pool, failures, breakLaunch } = poolOf(1);
  pool.take('/a');
  breakLaunch(true);
  await turn();
  equal(failures.length, 1);
  throws(() => pool.take('/a'), /no process/);
  breakLaunch(false);
  pool.take('/a');
  await pool.stop();
});

test('with size 0 every child is started when it is needed', async () => {
  const { pool, started } = poolOf(0);
  pool.take('/a');
  await turn();
  pool.take('/a');
  await turn();
  equal(started.length, 2);
  await pool.stop();
});
