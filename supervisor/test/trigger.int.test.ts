/**
 * The trigger role with its real children, in front of a server that is a few lines here: what is run, said, asked and given
 * up; that teams are kept apart; and that the death of one child is nobody else's. @see promise L13
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { withoutPython } from '../../tests/kit/airflow-venv.ts';
import { kill9 } from '../../tests/kit/processes.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { of, python, roots, START, watched } from './kit/python-triggers.ts';
import { children, inMs, startRole, tiOf, workload } from './kit/trigger-role.ts';

describe('triggers of TypeScript tasks', () => {
  test('an outcome is told until the server has heard it, once, after the log', async () => {
    await using role = await startRole();
    role.server.fail(2);
    role.add(workload(1, 'airlock.until', inMs(300)));
    const first = await role.server.outcome(1).catch(() => null);
    // An outcome that could not be told at all is found again by the next request for work: it is held no more.
    assert.equal(first?.kind, 'event');
    assert.equal(role.server.outcomes(1).length, 1);
  });

  test('never more than its capacity at once; the next begins when one has ended', async () => {
    await using role = await startRole({ AIRLOCK__TRIGGERER__CAPACITY: '2' });
    const all = [1, 2, 3, 4, 5];
    role.add(...all.map((id) => workload(id, 'airlock.until', inMs(500))));
    for (const id of all) assert.equal((await role.server.outcome(id)).kind, 'event');
    assert.equal(role.server.peak(), 2);
  });

  test('one that is cancelled says nothing any more', async () => {
    await using role = await startRole();
    role.add(workload(1, 'airlock.until', inMs(1500)), workload(2, 'airlock.until', inMs(2500)));
    await waitFor('they run', () => children('triggers.cjs').length > 0);
    role.server.known.delete(1);
    role.server.cancelled.set(1, true);
    assert.equal((await role.server.outcome(2)).kind, 'event');
    assert.deepEqual(role.server.outcomes(1), []);
  });

  test('when their process is killed they begin anew and lose nothing; killed again and again they fail', async () => {
    await using role = await startRole();
    role.add(workload(1, 'airlock.until', inMs(3000)));
    const [first] = await waitFor('it runs', () =>
      children('triggers.cjs').length > 0 ? children('triggers.cjs') : null,
    );
    for (const { pid } of children('triggers.cjs')) kill9(pid);
    await waitFor('another runs', () => children('triggers.cjs').some(({ pid }) => pid !== first!.pid));
    assert.equal((await role.server.outcome(1)).kind, 'event');
    assert.equal(role.server.outcomes(1).length, 1);
    assert.match(role.server.log(1), /has died; the trigger begins anew/);

    role.add(workload(2, 'airlock.until', inMs(600_000)));
    const killer = setInterval(() => {
      for (const { pid } of children('triggers.cjs')) kill9(pid);
    }, 50);
    try {
      const { kind } = await role.server.outcome(2);
      assert.equal(kind, 'failure');
    } finally {
      clearInterval(killer);
    }
  });
});

describe('triggers of Python tasks', { skip: withoutPython }, () => {
  test('each asks for its own task, side by side in one process', async () => {
    await using role = await python();
    role.add(of('a', 1, 'Asks', {}), of('a', 2, 'Asks', {}));
    for (const id of [1, 2])
      assert.deepEqual(await role.server.outcome(id, START), {
        kind: 'event',
        payload: JSON.stringify(`of ${tiOf(id)}`),
      });
    assert.equal(children('airlock_triggers').length > 0, true);
  });

  test('one that waits for a run asks how many there are, and for the state of one', async () => {
    await using role = await python();
    role.add(of('a', 1, 'AsksOfRuns', {}));
    assert.deepEqual(await role.server.outcome(1, START), { kind: 'event', payload: JSON.stringify([1, 'success']) });
  });

  test('its event is what Airflow makes of it on the way: lists of tuples, plain times of those of pendulum', async () => {
    await using role = await python();
    role.add(of('a', 1, 'Says', {}));
    const said = await role.server.outcome(1, START);
    assert.ok(said.kind === 'event', JSON.stringify(said));
    const [name, { at, ...plain }] = JSON.parse(said.payload);
    assert.deepEqual([name, plain], ['own.Says', { ids: ['a', 1], for: 'PT1S' }]);
    assert.equal(at.__classname__, 'datetime.datetime');
  });

  test('one of a git bundle has the files of its run’s commit, whatever has been committed since', async () => {
    const repository = mkdtempSync(join(tmpdir(), 'airlock-trigger-git-'));
    chmodSync(repository, 0o755);
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-C', repository, ...args], {
        encoding: 'utf8',
      }).trim();
    const commit = (word: string) => {
      writeFileSync(
        join(repository, 'pinned.py'),
        `from airflow.triggers.base import BaseTrigger, TriggerEvent
class Says(BaseTrigger):
    def serialize(self):
        return ("pinned.Says", {})
    async def run(self):
        yield TriggerEvent("${word}")
`,
      );
      git('add', '-A');
      git('commit', '-q', '-m', word);
      return git('rev-parse', 'HEAD');
    };
    git('init', '-q', '-b', 'main');
    const commits = ['first', 'second'].map(commit);
    try {
      await using role = await python();
      const at = (id: number, version: string) =>
        workload(
          id,
          'pinned.Says',
          {},
          {
            runtime: 'python',
            bundle_name: 'g',
            bundle_path: '',
            git: { repo_url: `file://${repository}`, subdir: null, version },
          },
        );
      role.add(at(1, commits[0]!), at(2, commits[1]!), at(3, 'f'.repeat(40)));
      const said = async (id: number) => {
        const outcome = await role.server.outcome(id, 120_000);
        return outcome.kind === 'event' ? JSON.parse(outcome.payload) : outcome;
      };
      assert.deepEqual([await said(1), await said(2)], ['first', 'second']);
      const gone = await role.server.outcome(3, 120_000);
      assert.match(JSON.stringify(gone), /failure.*no longer has the commit/);
    } finally {
      rmSync(repository, { recursive: true, force: true });
    }
  });

  test("L13: a team's trigger reads 0 of another team's canaries, and speaks for none of its triggers", async (t) => {
    await using role = await python();
    role.add(of('b', 1, 'Ticks', { turns: 200 }));
    await waitFor('the victim runs', () => role.server.log(1) !== '' || children('airlock_triggers').length > 0, {
      timeoutMs: START,
    });
    role.add(of('a', 2, 'Thief', { mark: 'canary-of-b-xxxx', folder: roots.b, victim: 1 }));
    const stolen = await role.server.outcome(2, START);
    assert.ok(stolen.kind === 'event', JSON.stringify(stolen));
    const { hits, looked, answered } = JSON.parse(stolen.payload) as {
      hits: string[];
      looked: number;
      answered: number;
    };
    t.diagnostic(`L13: ${hits.length} canaries in ${looked} places`);
    assert.deepEqual([hits, answered], [[], 0]);
    assert.ok(looked > 4, 'it did look');
    assert.ok(role.server.asked.every(({ tiId }) => tiId !== tiOf(1)));
    const victim = await role.server.outcome(1, START);
    assert.ok(victim.kind === 'event');
    const { secret } = JSON.parse(victim.payload) as { secret: string };
    assert.match(secret, /^canary-of-b-xxxx/, 'the control: it is there to be found');
  });

  test("L13: a crash of one team's process, or one that hangs, delays another's triggers by no second", async (t) => {
    await using role = await python();
    role.add(of('b', 1, 'Ticks', { turns: 400 }));
    role.add(of('a', 2, 'Crashes', {}));
    assert.equal((await role.server.outcome(2, START)).kind, 'failure', 'it has crashed three times');
    role.add(of('a', 3, 'Blocks', {}));
    const ticks = await role.server.outcome(1, START);
    assert.ok(ticks.kind === 'event');
    const { worst } = JSON.parse(ticks.payload) as { worst: number };
    t.diagnostic(`L13: the longest delay beside crashes was ${Math.round(worst * 1000)} ms`);
    assert.ok(worst <= 1, `${worst} s`);
    assert.equal((await role.server.outcome(3, START)).kind, 'failure', 'a loop that is stuck is ended');
  });

  test('what a person ends is told so, for a bounded time; what goes to another triggerer, or stops with its own, is not', async () => {
    await using queue = await watched(1);
    const said = (name: string, ...words: string[]) =>
      waitFor(`${name} ${words}`, () => words.every((word) => queue.said.includes(`${name}/${word}`)), {
        timeoutMs: START,
      });
    {
      await using role = await python({ AIRLOCK__TRIGGERER__ON_KILL_TIMEOUT: '1' });
      const names = ['ended', 'hangs', 'moved', 'stopped'];
      role.add(
        ...names.map((name, n) => of('a', n + 1, 'Kills', { queue: `${queue.url}${name}/`, hangs: name === 'hangs' })),
      );
      for (const name of names) await said(name, 'runs');
      for (const [id, ended] of [
        [1, true],
        [2, true],
        [3, false],
      ] as const) {
        role.server.known.delete(id);
        role.server.cancelled.set(id, ended);
      }
      await said('ended', 'killed', 'cleaned');
      await said('hangs', 'killed', 'cleaned');
      await said('moved', 'cleaned');
    }
    for (const name of ['moved', 'stopped']) assert.ok(!queue.said.includes(`${name}/killed`), name);
  });

  test('a task that starts in a trigger has its templates rendered, by its own run', async () => {
    await using role = await python();
    const kwargs = {
      __type: 'dict',
      __var: { moment: '{{ run_id }} {{ dag_run.conf.x }}', every: { __type: 'timedelta', __var: 90 } },
    };
    const start_trigger_args = {
      __type: 'START_TRIGGER_ARGS',
      trigger_cls: 'own.Rendered',
      trigger_kwargs: kwargs,
      next_method: 'm',
      next_kwargs: null,
      timeout: null,
    };
    const task = {
      task_id: 't',
      task_type: 'Op',
      _task_module: 'own',
      start_from_trigger: true,
      start_trigger_args,
      template_fields: ['moment', 'command'],
    };
    const group = {
      _group_id: null,
      group_display_name: '',
      prefix_group_id: true,
      tooltip: '',
      ui_color: 'CornflowerBlue',
      ui_fgcolor: '#000',
      children: { t: ['operator', 't'] },
      upstream_group_ids: [],
      downstream_group_ids: [],
      upstream_task_ids: [],
      downstream_task_ids: [],
    };
    const document = {
      __version: 3,
      dag: {
        dag_id: 'd',
        fileloc: '/dags/d.py',
        relative_fileloc: 'd.py',
        timezone: 'UTC',
        timetable: { __type: 'airflow.timetables.simple.NullTimetable', __var: {} },
        tasks: [{ __type: 'operator', __var: task }],
        task_group: group,
        edge_info: {},
        dag_dependencies: [],
        params: [],
      },
    };
    const run = {
      dag_id: 'd',
      run_id: 'r',
      conf: { x: 'from conf' },
      run_type: 'manual',
      state: 'running',
      run_after: '2026-01-01T00:00:00Z',
      logical_date: '2026-01-01T00:00:00Z',
      data_interval_start: null,
      data_interval_end: null,
      start_date: '2026-01-01T00:00:00Z',
      end_date: null,
      clear_number: 0,
      consumed_asset_events: [],
      partition_key: null,
    };
    role.add(
      { ...of('a', 1, 'Rendered', kwargs), start: { dag_data: document, dag_run_data: run } },
      of('a', 2, 'Rendered', kwargs),
    );
    assert.deepEqual(await role.server.outcome(1, START), {
      kind: 'event',
      payload: JSON.stringify(['r from conf', '0:01:30']),
    });
    const plain = await role.server.outcome(2, START);
    assert.ok(plain.kind === 'event');
    assert.deepEqual(
      JSON.parse(plain.payload),
      ['{{ run_id }} {{ dag_run.conf.x }}', '0:01:30'],
      'the control: without the task',
    );
  });
});
