/**
 * Timetables of the authors' own, by the real Airflow, each question in a sandboxed child: what they answer is what Airflow
 * itself is answered, and what they may not do ends as a failure of that one timetable.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TimetableAnswer, TimetableAsk } from '@airlock/contract/timetables';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import type { ParsedFile } from '../src/parse/parse-child.ts';
import { createPythonHosts } from '../src/python/host.ts';
import { makePythonParse } from '../src/python/parse.ts';
import type { PythonPool } from '../src/python/pool.ts';
import { makeAskTimetable } from '../src/python/timetable.ts';
import { Masker } from '../src/task/mask.ts';
import { testRoleContext } from './kit/role-context.ts';

const own = (name: string, fields: Record<string, unknown> = {}) => ({ __type: `own.${name}`, __var: fields });
const next = (over: Partial<Extract<TimetableAsk, { kind: 'runs' }>> = {}): TimetableAsk => ({
  kind: 'runs',
  run_type: 'scheduled',
  until: null,
  count: 50,
  last: null,
  restriction: { earliest: '2026-01-01T00:00:00Z', latest: null, catchup: true },
  ...over,
});
const manual = (over: Partial<Extract<TimetableAsk, { kind: 'manual' }>> = {}): TimetableAsk => ({
  kind: 'manual',
  run_type: 'manual',
  run_after: '2026-03-29T12:00:00Z',
  infer_at: '2026-03-29T12:00:00Z',
  interval: null,
  ...over,
});

describe('timetables of the authors’ own', { skip: withoutPython }, () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'airlock-timetables-')));
  const plugins = join(root, 'plugins');
  const bundle = join(root, 'bundle');
  let hosts: PythonPool;
  let ask: (timetable: ReturnType<typeof own>, question?: TimetableAsk) => Promise<TimetableAnswer>;
  let parse: (file: string, text: string) => Promise<ParsedFile>;
  const problemOf = async (name: string, question?: TimetableAsk) => {
    const answer = await ask(own(name), question);
    equal(answer.kind, 'problem', name);
    return answer.kind === 'problem' ? answer.text : '';
  };

  before(async () => {
    ensureVenv(findPython()!);
    for (const made of [plugins, bundle]) mkdirSync(made);
    for (const made of [root, plugins, bundle]) chmodSync(made, 0o755);
    cpSync(fileURLToPath(new URL('kit/timetables.py', import.meta.url)), join(plugins, 'own.py'));
    const example = spawnSync(join(airflowVenv, 'bin/python'), [
      '-c',
      'import airflow.example_dags.plugins.workday as w; print(w.__file__)',
    ]);
    cpSync(example.stdout.toString().trim().split('\n').at(-1)!, join(plugins, 'workday.py'));
    const ctx = await testRoleContext({
      AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
      AIRLOCK__CORE__PLUGINS_FOLDER: plugins,
      AIRLOCK__CORE__DAGBAG_IMPORT_TIMEOUT: '4',
      AIRLOCK__SANDBOX__MEMORY_LIMIT_MB: '1024',
    });
    hosts = createPythonHosts(ctx, () => 'none');
    const asking = makeAskTimetable(hosts, 4_000);
    ask = (timetable, question = next()) =>
      asking(
        { id: 'q', dag_id: 'd', bundle_name: 'b', timetable, ask: question },
        { root: bundle },
        new AbortController().signal,
      );
    const parsing = makePythonParse({
      hosts,
      timeoutMs: 20_000,
      ownUser: ctx.tier !== 'none',
      newMasker: () => new Masker(5),
    });
    parse = (file, text) => {
      writeFileSync(join(bundle, file), text);
      const job = { bundleName: 'b', root: bundle, shownRoot: bundle, relative: file };
      return parsing(job, new AbortController().signal);
    };
  });
  after(async () => {
    await hosts?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test('the next 50 runs and the interval of a manual one are those that Airflow itself is answered', async (t) => {
    const cases = [
      { timetable: { __type: 'workday.AfterWorkdayTimetable', __var: {} } },
      { timetable: { __type: 'workday.AfterWorkdayTimetable', __var: {} }, earliest: '2026-05-02T07:00:00Z' },
      { timetable: own('UnevenIntervals', { zone: 'Europe/Zurich' }), earliest: '2026-03-20T00:00:00Z' },
      { timetable: own('UnevenIntervals', { zone: 'America/New_York' }), latest: '2026-01-10T00:00:00Z' },
      { timetable: own('MonthEnds') },
    ].map((each) => ({
      earliest: '2026-01-01T00:00:00Z',
      latest: null,
      catchup: true,
      count: 50,
      at: '2026-03-29T12:00:00Z',
      ...each,
    }));
    const script = fileURLToPath(new URL('kit/timetable_answers.py', import.meta.url));
    const airflow = spawnSync(join(airflowVenv, 'bin/python'), [script], {
      input: cases.map((each) => JSON.stringify(each)).join('\n'),
      env: {
        HOME: root,
        AIRFLOW_HOME: join(root, 'airflow'),
        AIRFLOW__CORE__PLUGINS_FOLDER: plugins,
        AIRFLOW__CORE__LOAD_EXAMPLES: 'False',
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: 'sqlite://',
        PYTHONDONTWRITEBYTECODE: '1',
      },
    });
    const theirs = airflow.stdout
      .toString()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { runs: number[][]; manual: number[] });
    equal(theirs.length, cases.length, airflow.stderr.toString().slice(-2000));
    const seconds = (at: string) => Date.parse(at) / 1000;
    let compared = 0;
    for (const [index, { timetable, earliest, latest, catchup, at }] of cases.entries()) {
      const answer = await ask(timetable, next({ restriction: { earliest, latest, catchup } }));
      if (answer.kind !== 'runs') throw new Error(JSON.stringify(answer));
      const ours = answer.runs.map(({ run_after, interval }) => [run_after, interval.start, interval.end].map(seconds));
      deepEqual(ours, theirs[index]!.runs, JSON.stringify(timetable));
      compared += ours.length;
      const asked = await ask(timetable, manual({ infer_at: at }));
      if (asked.kind !== 'manual') throw new Error(JSON.stringify(asked));
      deepEqual([asked.interval!.start, asked.interval!.end].map(seconds), theirs[index]!.manual);
    }
    ok(compared > 200, 'most cases go on for 50 runs');
    t.diagnostic(`${compared} runs and ${cases.length} manual intervals equal to Airflow's`);
  });

  test('asked one by one, with the last run each time, the runs are the same as looked ahead', async () => {
    const timetable = own('UnevenIntervals', { zone: 'Europe/Zurich' });
    const ahead = await ask(timetable, next({ count: 4 }));
    let last: Extract<TimetableAsk, { kind: 'runs' }>['last'] = null;
    const single = [];
    for (let run = 0; run < 4; run++) {
      const answer = await ask(timetable, next({ count: 1, last }));
      if (answer.kind !== 'runs') throw new Error(JSON.stringify(answer));
      single.push(...answer.runs);
      last = { run_after: answer.runs[0]!.run_after, interval: answer.runs[0]!.interval };
    }
    deepEqual(single, ahead.kind === 'runs' && ahead.runs);
    match(single[0]!.run_id!, /^scheduled-2026010[01]T\d{4}$|^scheduled-2025\d+T\d+$/, 'its own name');
  });

  test('a range ends before what is not over yet', async () => {
    const answer = await ask(own('Simple'), next({ until: '2026-01-04T00:00:00Z', count: 10_001 }));
    deepEqual(answer.kind === 'runs' && answer.runs.map((run) => run.interval.end.slice(0, 10)), [
      '2026-01-02',
      '2026-01-03',
    ]);
  });

  test('a parse says how the timetable sums itself up, and refuses what can’t be asked', async () => {
    const dag = (schedule: string) => `from own import *
from workday import AfterWorkdayTimetable
from airflow.sdk import dag, task
@dag(schedule=${schedule}, start_date=DateTime(2026, 1, 1, tzinfo=UTC))
def d():
    @task
    def t(): pass
    t()
d()
`;
    const zurich = await parse('a.py', dag('UnevenIntervals()'));
    deepEqual(
      [zurich.importError, zurich.timetables],
      [null, { d: { summary: '06:00 and 16:30 Europe/Zurich', description: 'At 06:00 and 16:30', periodic: true } }],
    );
    const plain = await parse('b.py', dag('AfterWorkdayTimetable()'));
    deepEqual(plain.timetables, { d: { summary: 'AfterWorkdayTimetable', description: '', periodic: true } });
    deepEqual((await parse('c.py', dag('"@daily"'))).timetables, {}, 'control: one of Airflow’s own');
    match(String((await parse('d.py', dag('Partitioned()'))).importError), /can't be partitioned/);
    match(String((await parse('e.py', dag('Invalid()'))).importError), /never valid/);
    const unregistered = dag('Here()').replace('@dag', 'class Here(Simple): pass\n@dag');
    match(String((await parse('f.py', unregistered)).importError), /is not registered/);
  });

  test('what a timetable raises is its answer, with the traceback', async () => {
    for (const question of [next(), manual()])
      match(await problemOf('Raises', question), /Traceback[\s\S]*own\.py[\s\S]*ValueError: no such calendar/);
    match(await problemOf('Nowhere'), /is not registered/);
    equal((await ask(own('Simple'))).kind, 'runs', 'control');
  });

  test('hostile ones are ended, and harm nobody', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.end();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    writeFileSync(join(plugins, 'port'), String((server.address() as { port: number }).port));
    try {
      const [endless, slow, hungry, leaves, connects, reads] = await Promise.all(
        ['Endless', 'Slow', 'Hungry', 'Leaves', 'Connects', 'Reads'].map((name) => problemOf(name)),
      );
      match(endless!, /took longer than 4 s and was stopped/);
      match(slow!, /Traceback[\s\S]*TimeoutError/);
      match(hungry!, /MemoryError/);
      match(leaves!, /status 3/);
      match(connects!, /PermissionError|Network is unreachable/);
      match(reads!, /VARIABLE|PERMISSION|not/i);
      equal(connections, 0);
      equal((await ask(own('Simple'))).kind, 'runs', 'control: another one is asked as before');
    } finally {
      server.close();
    }
  });
});
