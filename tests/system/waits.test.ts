/** TypeScript tasks that wait for a time or an address without holding a worker, over all processes; and kills in between. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ask, logOf, resultOf, runEnd, runPath, taskInstances, trigger } from '../kit/api.ts';
import { descendantsOf, kill9 } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const DAGS = `
import { dag, Skip, type TasksEvent, until } from '@airlock/sdk';

export const waits = dag('waits', { params: { url: '' } }, (d) => {
  const soon = d.wait('soon', { until: until.delay('1s') });
  const page = d.wait('page', { until: ({ params }) => until.http(params.url, { every: '1s', contains: 'ready' }) });
  const late = d.wait('late', { until: until.delay('1h'), timeout: '1s', retries: 2 });
  const read = d.task('read', { run: ({ page }: { page: { status: number; body: string } }) => page.body });
  soon(); late();
  read({ page: page() });
});
export const survives = dag('survives', {}, (d) => {
  for (const n of [0, 1, 2, 3, 4]) d.wait('w' + n, { until: until.delay('6s') })();
});
export const done = dag('done', {}, (d) => {
  d.task('one', { run: () => 1 })();
});
export const looks = dag('looks', { params: { run: '', key: '' } }, (d) => {
  const reads = { dags: ['done'] };
  d.wait('file', { until: until.file('/etc/passwd', { every: '1s' }) })();
  d.wait('key', { until: ({ params }) => until.file(params.key, { every: '1s' }), timeout: '3s' })();
  d.wait('run', { until: ({ params }) => until.run('done', { runId: params.run, every: '1s' }), reads })();
  d.wait('undeclared', { until: ({ params }) => until.run('done', { runId: params.run, every: '1s' }) })();
  d.wait('other', { until: ({ params }) => until.run('marked', { runId: params.run, every: '1s' }), reads })();
});
export const feeds = dag('feeds', {}, (d) => {
  const list = d.task('list', { run: () => [1, 2, 3] });
  const load = d.task('load', { run: ({ n }: { n: number }) => n });
  d.task('fails', { run: () => { throw new Error('x'); } })();
  d.task('skips', { run: () => { throw new Skip('nothing'); } })();
  d.group('section', (d) => {
    d.task('one', { run: () => 1 })();
    d.task('two', { run: () => 2 })();
  });
  load.map({ n: list() });
});
export const follows = dag('follows', { params: { run: '' } }, (d) => {
  const every = '1s';
  const reads = { tasks: ['feeds/load', 'feeds/list', 'feeds/section', 'feeds/fails', 'feeds/skips', 'feeds/absent'] };
  const wait = (id, triggerOf, more = {}) => d.wait(id, { until: ({ params }) => triggerOf(params.run), reads, ...more });
  const loaded = wait('loaded', (runId) => until.task('feeds', ['list', 'load'], { runId, every }));
  wait('section', (runId) => until.taskGroup('feeds', 'section', { runId, every }))();
  wait('fails', (runId) => until.task('feeds', 'fails', { runId, every }))();
  wait('either', (runId) => until.task('feeds', 'fails', { runId, every, allowedStates: ['success', 'failed'] }))();
  const skips = wait('skips', (runId) => until.task('feeds', 'skips', { runId, every }));
  wait('absent', (runId) => until.task('feeds', 'absent', { runId, every }), { timeout: '4s' })();
  wait('undeclared', (runId) => until.task('feeds', 'section.one', { runId, every }))();
  wait('whole', (runId) => until.run('feeds', { runId, every }))();
  d.task('keys', { run: ({ loaded }: { loaded: TasksEvent }) => Object.keys(loaded.states).sort() })({ loaded: loaded() });
  d.task('after', { run: () => 1 })().after(skips());
});
export const marked = dag('marked', {}, (d) => {
  d.wait('w', { until: until.delay('1h') })();
});
`;

describe('waiting TypeScript tasks', () => {
  let airlock: Standalone;
  let asked = 0;
  const partner = createServer((_request, response) => {
    asked++;
    response.end(asked > 2 ? 'it is ready' : 'not yet');
  });
  before(async () => {
    await new Promise<void>((resolve) => partner.listen(0, '127.0.0.1', resolve));
    airlock = await startStandalone({ dags: { 'waits.ts': DAGS } });
  });
  after(async () => {
    partner.closeAllConnections();
    partner.close();
    await airlock?.stop();
  });
  const waiting = async (dagId: string, runId: string) =>
    (await taskInstances(airlock, dagId, runId)).filter(({ state }) => state === 'deferred');

  test('they go on with what they waited for, in the same try; one that waits too long fails without a retry', async () => {
    const { port } = partner.address() as { port: number };
    const runId = await trigger(airlock, 'waits', { url: `http://127.0.0.1:${port}/` });
    assert.equal(await runEnd(airlock, 'waits', runId), 'failed');
    const states = Object.fromEntries(
      (await taskInstances(airlock, 'waits', runId)).map((task) => [task.task_id, [task.state, task.try_number]]),
    );
    assert.deepEqual(states, {
      soon: ['success', 1],
      page: ['success', 1],
      late: ['failed', 1],
      read: ['success', 1],
    });
    assert.equal(await resultOf(airlock, { dagId: 'waits', runId, taskId: 'read' }), 'it is ready');
    const log = JSON.stringify(await logOf(airlock, { dagId: 'waits', runId, taskId: 'page' }));
    assert.match(log, /answered 200, and not yet/, 'what the trigger says is in the log of its task');
  });

  test('a wait looks at files that its tasks can see and at runs that it declares, and at nothing else', async () => {
    const done = await trigger(airlock, 'done');
    assert.equal(await runEnd(airlock, 'done', done), 'success');
    const [key] = readdirSync(join(airlock.home, 'keys'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    assert.ok(key, 'the control: it is there');
    const runId = await trigger(airlock, 'looks', { run: done, key });
    assert.equal(await runEnd(airlock, 'looks', runId), 'failed');
    const states = Object.fromEntries(
      (await taskInstances(airlock, 'looks', runId)).map((task) => [task.task_id, task.state]),
    );
    assert.deepEqual(states, {
      file: 'success',
      key: 'failed',
      run: 'success',
      undeclared: 'failed',
      other: 'failed',
    });
    const log = JSON.stringify(await logOf(airlock, { dagId: 'looks', runId, taskId: 'undeclared' }));
    assert.match(log, /may not look at this/);
  });

  test('a wait goes by the states of the tasks and groups that it declares, and by nothing else of their run', async () => {
    const feeds = await trigger(airlock, 'feeds');
    // It begins to wait at once, whatever of that run is done.
    const runId = await trigger(airlock, 'follows', { run: feeds });
    assert.equal(await runEnd(airlock, 'feeds', feeds), 'failed');
    assert.equal(await runEnd(airlock, 'follows', runId), 'failed');
    const states = Object.fromEntries(
      (await taskInstances(airlock, 'follows', runId)).map((task) => [task.task_id, task.state]),
    );
    assert.deepEqual(states, {
      loaded: 'success',
      section: 'success',
      fails: 'failed',
      either: 'success',
      skips: 'skipped',
      after: 'skipped',
      absent: 'failed',
      undeclared: 'failed',
      whole: 'failed',
      keys: 'success',
    });
    const at = (taskId: string) => ({ dagId: 'follows', runId, taskId });
    assert.deepEqual(await resultOf(airlock, at('keys')), ['list', 'load_0', 'load_1', 'load_2']);
    assert.deepEqual(await resultOf(airlock, at('section')), {
      states: { 'section.one': 'success', 'section.two': 'success' },
    });
    const said = async (taskId: string) => JSON.stringify(await logOf(airlock, at(taskId)));
    assert.match(await said('fails'), /The task fails, which this one waits for, is failed/);
    for (const taskId of ['undeclared', 'whole']) assert.match(await said(taskId), /may not look at this/, taskId);
  });

  test('while one waits it shows its trigger and triggerer, counts in its pool, and has a cause', async () => {
    const runId = await trigger(airlock, 'marked');
    const [task] = await waitFor('it waits', async () => {
      const found = await waiting('marked', runId);
      return found.length > 0 && (found[0] as unknown as { triggerer_job: unknown }).triggerer_job ? found : null;
    });
    const shown = task as unknown as {
      trigger: { classpath: string; kwargs: string; triggerer_id: number };
      triggerer_job: { id: number; job_type: string };
    };
    assert.equal(shown.trigger.classpath, 'airlock.until');
    assert.equal(shown.trigger.kwargs, '{}');
    assert.deepEqual(
      [shown.triggerer_job.job_type, shown.triggerer_job.id],
      ['TriggererJob', shown.trigger.triggerer_id],
    );
    const pool = await airlock.api<{ deferred_slots: number; running_slots: number }>(
      'GET',
      '/api/v2/pools/default_pool',
    );
    assert.deepEqual([pool.deferred_slots, pool.running_slots], [1, 0]);
    const why = await ask(airlock, 'GET', `${runPath('marked', runId)}/waiting`);
    assert.equal((why.json as { waiting: Array<{ cause: string }> }).waiting[0]?.cause, 'trigger', why.text);
    const health = await airlock.api<{ triggerer: { status: string } }>('GET', '/api/v2/monitor/health');
    assert.equal(health.triggerer.status, 'healthy');

    // A person ends it: it is not resumed by whatever its trigger says later.
    await airlock.api('PATCH', `${runPath('marked', runId)}/taskInstances/w`, { new_state: 'failed' });
    const row = await taskInstances(airlock, 'marked', runId);
    assert.equal(row[0]?.state, 'failed');
    assert.equal(await runEnd(airlock, 'marked', runId), 'failed');
  });

  test('killed alone, or with its host, what runs the triggers loses none and doubles none', async () => {
    const runId = await trigger(airlock, 'survives');
    await waitFor('all wait', async () => (await waiting('survives', runId)).length === 5);
    const hosts = () =>
      descendantsOf(airlock.pid).filter(({ command }) => /dist\/triggers\.cjs|bin\/triggers\.ts/.test(command));
    const [host] = await waitFor('they run', () => (hosts().length > 0 ? hosts() : null));
    for (const { pid } of hosts()) kill9(pid);
    await waitFor('another took its place', () => hosts().some(({ pid }) => pid !== host!.pid));
    const supervisor = descendantsOf(airlock.pid).find(
      ({ parent, command }) => parent === airlock.pid && command.includes('supervisor'),
    );
    assert.ok(supervisor);
    kill9(supervisor.pid);
    assert.equal(await runEnd(airlock, 'survives', runId, 90_000), 'success');
    for (let n = 0; n < 5; n++) {
      const where = { dagId: 'survives', runId, taskId: `w${n}` };
      assert.equal(typeof ((await resultOf(airlock, where)) as { at: unknown }).at, 'string');
      const log = (await logOf(airlock, where)).map(({ event }) => event);
      assert.equal(log.filter((text) => text === 'The task succeeded.').length, 1, 'once');
    }
    const tries = await taskInstances(airlock, 'survives', runId);
    assert.deepEqual(new Set(tries.map((task) => task.try_number)), new Set([1]));
  });
});
