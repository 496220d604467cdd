/** Which child a Dag file or a try gets: always a fresh one, of its own bundle. Children are stand-ins; what they are is the sandbox's test. */
import { deepEqual, equal, notEqual, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ChildExit, SandboxedChild, SandboxSpec } from '@airlock/proc/sandbox/index';
import type { Template } from '@airlock/proc/sandbox/template';
import { waitFor } from '../../tests/kit/wait.ts';
import { createPythonPool } from '../src/python/pool.ts';

type StandIn = SandboxedChild & { readonly root: string; readonly how: 'cold' | 'fork'; end(): void };
type StandInTemplate = Template & { readonly root: string; state: 'alive' | 'retired' | 'killed'; die(): void };

type Settings = { size?: number; idleMs?: number; retryMs?: number; templates?: boolean };

function poolOf({ size = 1, idleMs = 60_000, retryMs = 60_000, templates = false }: Settings) {
  const started: StandIn[] = [];
  const killed: StandIn[] = [];
  const made: StandInTemplate[] = [];
  const failures: unknown[] = [];
  const without: string[] = [];
  const broken = { launch: false, template: false, fork: false };
  let stamp = 'one';
  const child = (root: string, how: StandIn['how']): StandIn => {
    const exited = Promise.withResolvers<ChildExit>();
    const one = {
      root,
      how,
      exited: exited.promise,
      end: () => exited.resolve({ code: 0, signal: null }),
      kill() {
        killed.push(one);
        one.end();
        return exited.promise;
      },
    } as StandIn;
    started.push(one);
    return one;
  };
  const template = (root: string): StandInTemplate => {
    const ended = Promise.withResolvers<void>();
    const one: StandInTemplate = {
      root,
      state: 'alive',
      ended: ended.promise,
      alive: () => one.state === 'alive',
      die() {
        one.state = 'killed';
        ended.resolve();
      },
      async fork() {
        if (broken.fork) throw new Error('no fork');
        return child(root, 'fork');
      },
      retire() {
        one.state = 'retired';
      },
      async kill() {
        one.die();
      },
    };
    made.push(one);
    return one;
  };
  const pool = createPythonPool({
    size,
    idleMs,
    retryMs,
    spec: ({ root }) => ({ entry: root }) as unknown as SandboxSpec,
    stamp: () => stamp,
    startTemplate: templates
      ? async ({ root }) => {
          if (broken.template) throw new Error('no template');
          return template(root);
        }
      : null,
    log: { noTemplate: ({ name }) => without.push(name), noIdle: (error) => failures.push(error) },
    launch: ({ entry }) => {
      if (broken.launch) throw new Error('no process');
      return child(entry, 'cold');
    },
  });
  const take = async (root: string) => (await pool.take({ name: root.slice(1), root })) as StandIn;
  return { pool, take, started, killed, made, failures, without, broken, change: () => (stamp = 'two') };
}

test('a child is given out once, and another one waits for the next', async () => {
  const { pool, take, started } = poolOf({});
  const first = await take('/a');
  equal(started.length, 1);
  await waitFor('another one waits', () => started.length === 2);
  await turn();
  const second = await take('/a');
  equal(second, started[1], 'the idle one');
  notEqual(second, first);
  await pool.stop();
});

test('a child of one bundle never serves another, and neither does its template', async () => {
  const { pool, take, started, made } = poolOf({ templates: true });
  await take('/a');
  await waitFor('another one waits', () => started.length === 2);
  equal((await take('/b')).root, '/b');
  equal((await take('/a')).root, '/a');
  deepEqual(
    made.map(({ root }) => root),
    ['/a', '/b'],
  );
  await pool.stop();
});

test('one that dies while it waits is not given out, and is replaced with the next use only', async () => {
  const { pool, take, started } = poolOf({});
  await take('/a');
  await waitFor('another one waits', () => started.length === 2);
  await turn();
  started[1]!.end();
  await turn();
  equal(started.length, 2);
  equal(await take('/a'), started[2]);
  await pool.stop();
});

test('without use the idle ones and the template are given up', async () => {
  const { pool, take, started, killed, made } = poolOf({ size: 2, idleMs: 20, templates: true });
  await take('/a');
  await waitFor('the idle ones are ended', () => killed.length === 2);
  equal(started.length, 3);
  deepEqual(killed, started.slice(1));
  await waitFor('the template is given up', () => made[0]!.state === 'retired');
  await pool.stop();
  equal(made[0]!.state, 'killed', 'what is left of it ends with the pool');
});

test('stopping ends the idle ones, and none is started after it', async () => {
  const { pool, take, started, killed } = poolOf({ size: 2 });
  await take('/a');
  await waitFor('two wait', () => started.length === 3);
  await turn();
  await take('/a');
  await pool.stop();
  await turn();
  equal(killed.length, 1);
  equal(started.length, 3);
});

test('that an idle one can not be started is said, and hurts nobody who has a child', async () => {
  const { pool, take, failures, broken } = poolOf({});
  await take('/a');
  broken.launch = true;
  await waitFor('it is said', () => failures.length === 1);
  await rejects(take('/a'), /no process/);
  broken.launch = false;
  await take('/a');
  await pool.stop();
});

test('with size 0 every child is started when it is needed', async () => {
  const { pool, take, started } = poolOf({ size: 0 });
  await take('/a');
  await turn();
  await take('/a');
  await turn();
  equal(started.length, 2);
  await pool.stop();
});

test('where there is a template every child is a fork of it', async () => {
  const { pool, take, started, made } = poolOf({ templates: true });
  await Promise.all([take('/a'), take('/a'), take('/a')]);
  await waitFor('another one waits', () => started.length === 4);
  deepEqual(new Set(started.map(({ how }) => how)), new Set(['fork']));
  equal(made.length, 1, 'one, though three asked at once');
  await pool.stop();
  equal(made[0]!.state, 'killed');
});

for (const what of ['template', 'fork'] as const) {
  test(`without a ${what} a child is a process of its own; that is said once, and tried again later`, async () => {
    const { pool, take, started, without, broken } = poolOf({ size: 0, retryMs: 30, templates: true });
    broken[what] = true;
    equal((await take('/a')).how, 'cold');
    equal((await take('/a')).how, 'cold');
    deepEqual(without, ['a']);
    broken[what] = false;
    await waitFor('templates are tried again', async () => (await take('/a')).how === 'fork');
    equal(started.at(-1)!.root, '/a');
    await pool.stop();
  });
}

test('a template that died is replaced, and nobody waits for a minute', async () => {
  const { pool, take, made, without } = poolOf({ size: 0, templates: true });
  await take('/a');
  made[0]!.die();
  equal((await take('/a')).how, 'fork');
  equal(made.length, 2);
  deepEqual(without, []);
  await pool.stop();
});

test('when the files of the interpreter change, nothing that has loaded the old ones is given out any more', async () => {
  const { pool, take, started, killed, made, change } = poolOf({ templates: true });
  const before = await take('/a');
  await waitFor('another one waits', () => started.length === 2);
  await turn();
  change();
  const after = await take('/a');
  equal(after, started[2]);
  await waitFor('the idle one is ended', () => killed.includes(started[1]!));
  equal(killed.includes(before), false, 'one at work goes on');
  await waitFor('the old template is given up', () => made[0]!.state === 'retired');
  equal(made[1]!.state, 'alive');
  await pool.stop();
});
