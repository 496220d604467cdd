/** TypeScript tasks that wait for an event of an asset: the next one that fits ends the wait, and no other does. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { dagKnown, logOf, resultOf, runEnd, runPath, taskInstances, trigger } from '../kit/api.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const MAKES = `
from airflow.sdk import DAG, Asset, task

with DAG("makes", schedule=None):
    @task(outlets=[Asset("stock"), Asset("other")])
    def make(*, outlet_events):
        outlet_events[Asset("other")].extra = {"rows": 7}
    make()
`;
const WAITS = `
import { type AssetEvent, dag, until } from '@airlock/sdk';

const every = '1s';
export const waits = dag('waits', {}, (d) => {
  const next = d.wait('next', { until: until.asset('stock', { every }) });
  d.wait('other', { until: until.asset('other', { every }) })();
  d.wait('later', { until: until.asset('stock', { every, after: new Date(Date.now() + 86_400_000) }) })();
  d.wait('earlier', { until: until.asset('stock', { every, after: '2020-01-01T00:00:00Z' }) })();
  d.wait('undeclared', { until: () => until.asset('stock', { every }) })();
  d.task('read', { run: ({ next }: { next: AssetEvent }) => next.extra })({ next: next() });
});
`;

describe('waits for events of assets', { skip: withoutPython }, () => {
  let airlock: Standalone;
  const made: number[] = [];
  before(async () => {
    ensureVenv(findPython()!);
    airlock = await startStandalone({
      dags: { 'makes.py': MAKES, 'waits.ts': WAITS },
      env: { AIRLOCK__PYTHON__INTERPRETER: airflowVenv },
    });
    await dagKnown(airlock, 'makes');
  });
  after(() => airlock?.stop());

  /** @returns the id of the event */
  async function make(name: string, extra: object): Promise<void> {
    const { assets } = await airlock.api<{ assets: { id: number; name: string }[] }>('GET', '/api/v2/assets?limit=100');
    const asset_id = assets.find((asset) => asset.name === name)!.id;
    made.push((await airlock.api<{ id: number }>('POST', '/api/v2/assets/events', { asset_id, extra })).id);
  }
  const states = async (runId: string) =>
    Object.fromEntries((await taskInstances(airlock, 'waits', runId)).map((task) => [task.task_id, task.state]));

  test('an event while it waits ends it; one of before, of another asset, or before its time does not', async () => {
    await make('stock', { n: 'before' });
    const runId = await trigger(airlock, 'waits');
    const at = (taskId: string) => ({ dagId: 'waits', runId, taskId });
    // `earlier` and `undeclared` end by themselves, which shows that the triggers have looked.
    const looked = await waitFor(
      'the others wait',
      async () => {
        const now = await states(runId);
        const ended = now.earlier === 'success' && now.undeclared === 'failed';
        return ended && ['next', 'other', 'later'].every((id) => now[id] === 'deferred') ? now : null;
      },
      { timeoutMs: 120_000 },
    );
    assert.equal(looked.read, null);
    assert.equal(((await resultOf(airlock, at('earlier'))) as { id: number }).id, made[0], 'the control: it was there');
    assert.match(JSON.stringify(await logOf(airlock, at('undeclared'))), /may not look at this/);

    await make('stock', { n: 'while' });
    await waitFor('the next one has ended its wait', async () => (await states(runId)).read === 'success', {
      timeoutMs: 120_000,
    });
    assert.deepEqual(await resultOf(airlock, at('read')), { n: 'while', from_rest_api: true });
    const event = (await resultOf(airlock, at('next'))) as { id: number; source: unknown };
    assert.deepEqual([event.id, event.source], [made[1], null]);
    const now = await states(runId);
    assert.deepEqual([now.other, now.later], ['deferred', 'deferred'], 'of another asset, and too early');

    // What a task makes, of a Dag in Python, is an event like any other; it says where it came from.
    const source = await trigger(airlock, 'makes');
    assert.equal(await runEnd(airlock, 'makes', source, 200_000), 'success');
    await waitFor('the event of the task has ended the wait', async () => (await states(runId)).other === 'success', {
      timeoutMs: 120_000,
    });
    const { id: _, timestamp: __, ...other } = (await resultOf(airlock, at('other'))) as Record<string, unknown>;
    assert.deepEqual(other, { extra: { rows: 7 }, source: { dagId: 'makes', runId: source, taskId: 'make' } });
    assert.equal((await states(runId)).later, 'deferred', 'still too early');
    await airlock.api('PATCH', `${runPath('waits', runId)}/taskInstances/later`, { new_state: 'success' });
    assert.equal(await runEnd(airlock, 'waits', runId), 'failed');
  });
});
