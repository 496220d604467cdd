/** What tests ask of a running Airlock over REST, with types for what they read. */
import type { Run, Standalone } from './standalone.ts';
import { waitFor } from './wait.ts';

export type TaskInstance = {
  readonly id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly try_number: number;
  readonly max_tries: number;
  readonly pid: number | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
};
export type LogLine = { readonly event: string; readonly level?: string; readonly [field: string]: unknown };
export type ImportError = { readonly filename: string; readonly stack_trace: string };

/** One answer, whatever its status. */
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
};

/** A request that may be refused: gives the answer instead of throwing. `token` null = without one; default: the administrator. */
export async function ask(
  airlock: Standalone,
  method: string,
  path: string,
  options: {
    readonly body?: unknown;
    readonly raw?: string;
    readonly type?: string;
    readonly token?: string | null;
  } = {},
): Promise<Answer> {
  const body = options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body));
  const token = options.token === undefined ? await airlock.token() : options.token;
  const response = await fetch(airlock.url + path, {
    method,
    headers: {
      ...(body === null ? {} : { 'content-type': options.type ?? 'application/json' }),
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    },
    body,
  });
  const text = await response.text();
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Not every answer is JSON; `text` is there.
  }
  return { status: response.status, headers: response.headers, text, json };
}

export const runPath = (dagId: string, runId: string): string =>
  `/api/v2/dags/${encodeURIComponent(dagId)}/dagRuns/${encodeURIComponent(runId)}`;

/** Waits until the Dag is there. Bound generous: a parse on a busy machine. @throws Error with the import errors there are */
export async function dagKnown(airlock: Standalone, dagId: string): Promise<void> {
  const known = async () => (await ask(airlock, 'GET', `/api/v2/dags/${dagId}`)).status === 200;
  await waitFor(`Dag ${dagId} is known`, known, { timeoutMs: 120_000 }).catch(async (cause: Error) => {
    const { text } = await ask(airlock, 'GET', '/api/v2/importErrors?limit=100');
    throw new Error(`${cause.message}; import errors: ${text}`, { cause });
  });
}

/** Triggers a run of a known Dag. @returns its id */
export async function trigger(airlock: Standalone, dagId: string, conf: unknown = {}): Promise<string> {
  await dagKnown(airlock, dagId);
  const run = await airlock.api<Run>('POST', `/api/v2/dags/${dagId}/dagRuns`, { logical_date: null, conf });
  return run.dag_run_id;
}

/** Waits for the end. @returns `success` or `failed` @throws Error with the states of all tasks when it does not come */
export async function runEnd(airlock: Standalone, dagId: string, runId: string, timeoutMs = 120_000): Promise<string> {
  try {
    return await waitFor(
      `run ${runId} of ${dagId} has ended`,
      async () => {
        const { state } = await airlock.api<Run>('GET', runPath(dagId, runId));
        return state === 'success' || state === 'failed' ? state : null;
      },
      { timeoutMs, everyMs: 50 },
    );
  } catch (cause) {
    const tasks = await taskInstances(airlock, dagId, runId).catch(() => []);
    const open = tasks.filter((task) => task.state !== 'success');
    const lines = open.slice(0, 20).map((t) => `${t.task_id}[${t.map_index}] try ${t.try_number}: ${t.state}`);
    throw new Error(`${(cause as Error).message}\n${lines.join('\n')}\n${airlock.output().slice(-4000)}`, { cause });
  }
}

/** All task instances of a run, page after page. */
export async function taskInstances(airlock: Standalone, dagId: string, runId: string): Promise<TaskInstance[]> {
  const found: TaskInstance[] = [];
  for (;;) {
    const page = await airlock.api<{ task_instances: TaskInstance[]; total_entries: number }>(
      'GET',
      `${runPath(dagId, runId)}/taskInstances?limit=100&offset=${found.length}`,
    );
    found.push(...page.task_instances);
    if (page.task_instances.length === 0 || found.length >= page.total_entries) return found;
  }
}

/** Every try that a task instance had, the last one included. */
export async function triesOf(
  airlock: Standalone,
  at: { dagId: string; runId: string; taskId: string; mapIndex?: number },
): Promise<TaskInstance[]> {
  const mapped = at.mapIndex === undefined || at.mapIndex < 0 ? '' : `/${at.mapIndex}`;
  const path = `${runPath(at.dagId, at.runId)}/taskInstances/${at.taskId}${mapped}/tries`;
  return (await airlock.api<{ task_instances: TaskInstance[] }>('GET', path)).task_instances;
}

/** The log of one try, line by line. */
export async function logOf(
  airlock: Standalone,
  at: { dagId: string; runId: string; taskId: string; tryNumber?: number },
): Promise<LogLine[]> {
  const path = `${runPath(at.dagId, at.runId)}/taskInstances/${at.taskId}/logs/${at.tryNumber ?? 1}?full_content=true`;
  return (await airlock.api<{ content: LogLine[] }>('GET', path)).content;
}

/** The result of a task. @throws Error 404 when it has none */
export async function resultOf(
  airlock: Standalone,
  at: { dagId: string; runId: string; taskId: string },
): Promise<unknown> {
  const path = `${runPath(at.dagId, at.runId)}/taskInstances/${at.taskId}/xcomEntries/return_value`;
  const { value } = await airlock.api<{ value: unknown }>('GET', path);
  return value;
}

/** Waits for the import error of a file. */
export function importErrorOf(airlock: Standalone, file: string): Promise<ImportError> {
  return waitFor(
    `an import error of ${file}`,
    async () => {
      const { import_errors: all } = await airlock.api<{ import_errors: ImportError[] }>(
        'GET',
        '/api/v2/importErrors?limit=100',
      );
      return all.find((one) => one.filename.endsWith(file));
    },
    { timeoutMs: 30_000, everyMs: 50 },
  );
}
