/** A REST server with three Dags, and what tests of their runs ask again and again. */
import assert from 'node:assert/strict';
import { type RestKit, restKit } from '../rest-kit.ts';
import { dagDocument, ingest, mappedOver, withBundle } from './dags.ts';

export async function restRuns() {
  const kit: RestKit = await restKit();
  const { user, viewer } = kit.as;
  const db = () => kit.database.db;
  await withBundle(db());
  const now = new Date().toISOString();
  const param = {
    __class: 'airflow.sdk.definitions.param.Param',
    default: 3,
    schema: { __type: 'dict', __var: { type: 'integer', maximum: 10 } },
  };
  await ingest(
    db(),
    'a.ts',
    [
      dagDocument('d', [{ id: 'start' }, { id: 'mid', after: ['start'], retries: 1 }, { id: 'end', after: ['mid'] }]),
      dagDocument('m', [{ id: 'list' }, { id: 'each', after: ['list'], ...mappedOver('list') }]),
      dagDocument('p', [{ id: 'x' }], { params: [['count', param]] }),
    ],
    now,
  );

  let serial = 0;
  async function newRun(
    dag = 'd',
    over: Record<string, unknown> = {},
  ): Promise<{ path: string; body: Record<string, unknown> }> {
    const runId = `run-${++serial}`;
    const answer = await user('POST', `/dags/${dag}/dagRuns`, { logical_date: null, dag_run_id: runId, ...over });
    assert.equal(answer.status, 200, answer.text);
    return { path: `/dags/${dag}/dagRuns/${encodeURIComponent(answer.body.dag_run_id)}`, body: answer.body };
  }
  const tis = async (path: string) => (await viewer('GET', `${path}/taskInstances?limit=100`)).body.task_instances;
  const states = async (path: string) =>
    Object.fromEntries(
      (await tis(path)).map((ti: { task_id: string; state: string | null }) => [ti.task_id, ti.state]),
    );

  return { kit, user, viewer, db, newRun, tis, states };
}
