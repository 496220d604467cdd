/** Waits for runs, their tasks and events of assets, by what the server shows the task that waits. @see execution API 3.6, 3.8 to 3.10 */
import { SKIP_FIELD } from '../author/until.ts';
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
    throw new Error(`The task may not look at this. Declare it: reads: { dags: […], tasks: […], assets: […] }.`);
  note(`The server answered ${answer.status}.`);
  return null;
}

type RunArguments = {
  readonly dag_id: string;
  readonly run_id: string | null;
  readonly logical_date: string | null;
  readonly every: number;
};

const runQuery = ({ dag_id, run_id, logical_date }: RunArguments) =>
  new URLSearchParams({ dag_id, ...(run_id === null ? { logical_dates: logical_date! } : { run_ids: run_id }) });

/** The success of a run. @throws when it fails */
export async function atRun(given: RunArguments, host: TriggerHost): Promise<unknown> {
  const run = runQuery(given);
  return await poll(given.every, host, async (note) => {
    const counted = async (state: string) => Number(await look(host, `/dag-runs/count?${run}&states=${state}`, note));
    if ((await counted('success')) > 0) return { state: 'success' };
    if ((await counted('failed')) > 0) throw new Error('What the task waits for has failed.');
    return null;
  });
}

type TasksArguments = RunArguments & {
  readonly task_ids?: readonly string[];
  readonly task_group_id?: string;
  readonly allowed_states: readonly string[];
  readonly failed_states: readonly string[];
  readonly skipped_states: readonly string[];
};

/** Tasks of a run, or of one of its groups, until all are as they should be. @throws when one of them fails the wait */
export async function atTasks(given: TasksArguments, host: TriggerHost): Promise<unknown> {
  const query = runQuery(given);
  for (const id of given.task_ids ?? []) query.append('task_ids', id);
  if (given.task_group_id !== undefined) query.append('task_group_id', given.task_group_id);
  return await poll(given.every, host, async (note) => {
    const answer = await look(host, `/task-instances/states?${query}`, note);
    const runs = (answer as { task_states?: Record<string, Record<string, string | null>> } | null)?.task_states;
    const states = Object.values(runs ?? {})[0] ?? {};
    // What a mapped task has fewer of than before is no part of the run any more.
    const found = Object.entries(states).filter(([, state]) => state !== 'removed' || isWanted(given, state));
    const within = (list: readonly string[]) => found.find(([, state]) => state !== null && list.includes(state));
    const failed = within(given.failed_states);
    if (failed) throw new Error(`The task ${failed[0]}, which this one waits for, is ${failed[1]}.`);
    const skipped = within(given.skipped_states);
    if (skipped) return { [SKIP_FIELD]: `The task ${skipped[0]}, which this one waits for, is ${skipped[1]}.` };
    const instancesOf = (id: string) => found.some(([key]) => key === id || isInstanceOf(key, id));
    const complete = found.length > 0 && (given.task_ids ?? []).every(instancesOf);
    const done = found.every(([, state]) => state !== null && given.allowed_states.includes(state));
    return complete && done ? { states: Object.fromEntries(found) } : null;
  });
}

const isWanted = (given: TasksArguments, state: string): boolean =>
  [given.allowed_states, given.failed_states, given.skipped_states].some((list) => list.includes(state));

/** The states name an instance of a mapped task by its index. */
const isInstanceOf = (key: string, taskId: string): boolean =>
  key.startsWith(`${taskId}_`) && /^\d+$/.test(key.slice(taskId.length + 1));

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
