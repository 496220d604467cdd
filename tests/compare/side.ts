/** One of the two systems, driven over the REST API that both have: runs a Dag once and says what became of it. */
import { setTimeout as pause } from 'node:timers/promises';

export type TaskEnd = {
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly try_number: number;
  readonly start_date: string | null;
  readonly end_date: string | null;
};
export type RunEnd = {
  /** `success`, `failed`; else why there is none: `no Dag`, `refused …`, `running` after the bound. */
  readonly state: string;
  readonly tasks: readonly TaskEnd[];
  /** `task[index] key` → value as text. */
  readonly xcoms: ReadonlyMap<string, string>;
};
export type Side = {
  readonly url: string;
  readonly user: string;
  readonly password: string;
};
export type Client = {
  /** Ids of all Dags, when all these files have been read and the number no longer grows for a while. */
  dags(files: readonly string[]): Promise<string[]>;
  importErrors(): Promise<Map<string, string>>;
  run(dagId: string, limitMs: number): Promise<RunEnd>;
  /** Pairs of task ids, upstream first, without those whose downstream may begin before all of its upstreams have ended. */
  edges(dagId: string): Promise<Array<readonly [string, string]>>;
};

/** Both systems get the same, so that what a run computes from it is the same. */
const LOGICAL_DATE = '2026-01-02T03:04:05Z';
/** Quiet for so long means that everything is read; longer while a file is missing, which may make no Dag without some package. */
const SETTLED_MS = 10_000;
const SETTLED_WITHOUT_MS = 90_000;
const APPEAR_MS = 600_000;
/**
 * What a person takes to answer. Airflow fails a task that goes on before its scheduler has heard of the end of the process
 * that asked (it calls that a task killed from outside), which no API shows.
 */
const ANSWER_AFTER_MS = 15_000;

type HumanRequest = {
  readonly task_instance: { readonly task_id: string; readonly map_index: number; readonly state: string | null };
  readonly options: string[];
  readonly params: Readonly<Record<string, unknown>> | null;
  readonly response_received: boolean;
};
/** A parameter travels as its value, or as an object with it. */
const proposed = (param: unknown): unknown =>
  typeof param === 'object' && param !== null && 'value' in param ? param.value : param;

type Page<K extends string, T> = { [key in K]: T[] } & { total_entries: number };

type TaskOfDag = {
  readonly task_id: string;
  readonly trigger_rule: string;
  readonly downstream_task_ids: string[] | null;
};
const EARLY_RULES = ['always', 'one_success', 'one_failed', 'one_done'];

export async function connect({ url, user, password }: Side): Promise<Client> {
  let token = '';
  const ask = async (method: string, path: string, body?: unknown) => {
    const answer = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, text, json: <T>() => JSON.parse(text) as T };
  };
  const get = async <T>(path: string): Promise<T> => {
    // A busy server may fail a look now and then; the run goes on.
    for (let left = 5; ; left--) {
      const answer = await ask('GET', path).catch(() => null);
      if (answer?.status === 200) return answer.json<T>();
      if (left === 0) throw new Error(`GET ${path}: ${answer?.status} ${answer?.text.slice(0, 300)}`);
      await pause(1000);
    }
  };
  const login = await ask('POST', '/auth/token', { username: user, password });
  token = login.json<{ access_token: string }>().access_token;
  const all = async <K extends string, T>(path: string, key: K): Promise<T[]> => {
    const found: T[] = [];
    for (;;) {
      const join = path.includes('?') ? '&' : '?';
      const page = await get<Page<K, T>>(`${path}${join}limit=100&offset=${found.length}`);
      found.push(...page[key]);
      if (page[key].length === 0 || found.length >= page.total_entries) return found;
    }
  };
  const importErrors = async () =>
    new Map(
      (
        await all<'import_errors', { filename: string; stack_trace: string }>('/api/v2/importErrors', 'import_errors')
      ).map((one) => [one.filename, one.stack_trace]),
    );
  /** Whatever a run asks of a person is answered with the first option and the values that it proposes. */
  const waitingSince = new Map<string, number>();
  const answerRequests = async (run: string) => {
    const { hitl_details: requests } = await get<{ hitl_details: HumanRequest[] }>(`${run}/hitlDetails?limit=100`);
    for (const { task_instance: task, options, params, response_received: answered } of requests) {
      if (answered || (task.state !== 'awaiting_input' && task.state !== 'deferred')) continue;
      const request = `${run}/taskInstances/${encodeURIComponent(task.task_id)}/${task.map_index}/hitlDetails`;
      const now = performance.now();
      const since = waitingSince.get(request) ?? now;
      waitingSince.set(request, since);
      if (now - since < ANSWER_AFTER_MS) continue;
      await ask('PATCH', request, {
        chosen_options: options.slice(0, 1),
        params_input: Object.fromEntries(Object.entries(params ?? {}).map(([name, param]) => [name, proposed(param)])),
      });
    }
  };
  return {
    importErrors,
    async dags(files) {
      const began = performance.now();
      let last = 0;
      let since = began;
      for (;;) {
        const dags = await all<'dags', { dag_id: string; relative_fileloc: string }>('/api/v2/dags', 'dags');
        const errors = await importErrors();
        const read = new Set([...dags.map((dag) => dag.relative_fileloc), ...errors.keys()]);
        const seen = dags.length + errors.size;
        if (seen !== last) since = performance.now();
        last = seen;
        const now = performance.now();
        const allRead = files.every((file) => [...read].some((path) => path.endsWith(file)));
        const quietMs = allRead ? SETTLED_MS : SETTLED_WITHOUT_MS;
        if ((seen > 0 && now - since > quietMs) || now - began > APPEAR_MS) return dags.map((dag) => dag.dag_id).sort();
        await pause(500);
      }
    },
    async edges(dagId) {
      const { tasks } = await get<{ tasks: TaskOfDag[] }>(`/api/v2/dags/${dagId}/tasks`);
      const early = new Set(
        tasks.filter((task) => EARLY_RULES.includes(task.trigger_rule)).map((task) => task.task_id),
      );
      return tasks.flatMap((task) =>
        (task.downstream_task_ids ?? [])
          .filter((down) => !early.has(down))
          .map((down) => [task.task_id, down] as const),
      );
    },
    async run(dagId, limitMs) {
      const none = (state: string): RunEnd => ({ state, tasks: [], xcoms: new Map() });
      const path = `/api/v2/dags/${dagId}`;
      const opened = await ask('PATCH', `${path}?update_mask=is_paused`, { is_paused: false });
      if (opened.status !== 200) return none('no Dag');
      const made = await ask('POST', `${path}/dagRuns`, { logical_date: LOGICAL_DATE, dag_run_id: 'compared' });
      // What a refusal says is worded by each system; a failure is not to be lost.
      if (made.status >= 500) return none(`refused ${made.status}: ${made.text.slice(0, 300)}`);
      if (made.status >= 300) return none(`refused ${made.status}`);
      const deadline = performance.now() + limitMs;
      let state = 'queued';
      while (state !== 'success' && state !== 'failed' && performance.now() < deadline) {
        await pause(250);
        state = (await get<{ state: string }>(`${path}/dagRuns/compared`)).state;
        if (state === 'running') await answerRequests(`${path}/dagRuns/compared`);
      }
      await ask('PATCH', `${path}?update_mask=is_paused`, { is_paused: true });
      const tasks = await all<'task_instances', TaskEnd>(`${path}/dagRuns/compared/taskInstances`, 'task_instances');
      const xcoms = new Map<string, string>();
      for (const { task_id, map_index } of tasks) {
        const entries = `${path}/dagRuns/compared/taskInstances/${encodeURIComponent(task_id)}/xcomEntries`;
        const keys = await all<'xcom_entries', { key: string; map_index: number }>(
          `${entries}?map_index=${map_index}`,
          'xcom_entries',
        );
        for (const { key } of keys) {
          const value = await ask('GET', `${entries}/${encodeURIComponent(key)}?map_index=${map_index}`);
          const text =
            value.status === 200 ? JSON.stringify(value.json<{ value: unknown }>().value) : `${value.status}`;
          xcoms.set(`${task_id}[${map_index}] ${key}`, text);
        }
      }
      return { state, tasks, xcoms };
    },
  };
}
