/** Waits for runs and for events of assets, by what the server shows the task that waits. @see execution API 3.6, 3.9, 3.10 */
import { poll, type TriggerHost } from './poll.ts';

/** One look. @returns null when the server does not say. @throws when the task may not know, which no waiting mends */
async function look(host: TriggerHost, path: string, note: (text: string) => void): Promise<unknown> {
  let answer: Awaited<ReturnType<TriggerHost['ask']>>;
  try {
    answer = await host.ask(path);
  } catch {
    host.signal.throwIfAborted();
    note('The server could not be reached.');
    return null;
  }
  if (answer.status === 200) return answer.body;
  if (answer.status === 403)
    throw new Error(`The task may not look at this. Declare it: reads: { dags: […], assets: […] }.`);
  note(`The server answered ${answer.status}.`);
  return null;
}

type RunArguments = {
  readonly dag_id: string;
  readonly run_id: string | null;
  readonly logical_date: string | null;
  readonly every: number;
};

/** The success of a run. @throws when it fails */
export async function atRun(given: RunArguments, host: TriggerHost): Promise<unknown> {
  const { dag_id: dagId, run_id: runId, logical_date: date } = given;
  const run = new URLSearchParams({
    dag_id: dagId,
    ...(runId === null ? { logical_dates: date! } : { run_ids: runId }),
  });
  return await poll(given.every, host, async (note) => {
    const counted = async (state: string) => Number(await look(host, `/dag-runs/count?${run}&states=${state}`, note));
    if ((await counted('success')) > 0) return { state: 'success' };
    if ((await counted('failed')) > 0) throw new Error('What the task waits for has failed.');
    return null;
  });
}

type AssetArguments = { readonly name: string; readonly after: string; readonly every: number };
type Event = {
  readonly id: number;
  readonly timestamp: string;
  readonly extra: unknown;
  readonly source_dag_id: string | null;
  readonly source_run_id: string | null;
  readonly source_task_id: string | null;
};

/** The first event of an asset since then. */
export async function atAsset({ name, after, every }: AssetArguments, host: TriggerHost): Promise<unknown> {
  const query = new URLSearchParams({ name, uri: '', after, ascending: 'true', limit: '1' });
  return await poll(every, host, async (note) => {
    const answer = await look(host, `/asset-events/by-asset?${query}`, note);
    const event = (answer as { asset_events?: Event[] } | null)?.asset_events?.[0];
    if (!event) return null;
    const { id, timestamp, extra, source_dag_id: dagId, source_run_id: runId, source_task_id: taskId } = event;
    return { id, timestamp, extra, source: dagId === null ? null : { dagId, runId, taskId } };
  });
}
