/** The second argument of a body, from what the supervisor said about the try. */
import { inspect } from 'node:util';
import type { LogLevel, RunContext } from '@airlock/contract/ipc/runner';
import type { Dag } from '../author/dag.ts';
import type { Logger, RunInfo } from '../author/types.ts';
import type { Assignment, TaskHost } from './host.ts';

const MAX_EVENT_CHARACTERS = 200_000;

/** Defaults of the params with the run's conf laid over them; keys of conf that are no params stay in `run.conf` only. */
export function paramsOf(dag: Dag, conf: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const param of dag.params) {
    if (Object.hasOwn(conf, param.name)) values[param.name] = conf[param.name];
    else if (param.hasDefault) values[param.name] = param.default;
  }
  return Object.freeze(values);
}

export function makeContext(
  dag: Dag,
  { context, workDir, signal }: Assignment,
  needs: Readonly<Record<string, unknown>>,
  host: TaskHost,
) {
  return {
    params: paramsOf(dag, context.conf),
    needs,
    log: makeLogger(host),
    signal,
    run: runInfo(context),
    task: {
      taskId: context.task_id,
      mapIndex: context.map_index,
      tryNumber: context.try_number,
      // The server counts what may follow the first try.
      maxTries: context.max_tries + 1,
      startDate: new Date(context.start_date),
    },
    workDir,
    mapIndex: context.map_index,
    tryNumber: context.try_number,
  };
}

/** The run, as an author sees it. */
export function runInfo(
  run: Omit<
    RunContext,
    'task_id' | 'map_index' | 'try_number' | 'max_tries' | 'start_date' | 'reschedule_count' | 'should_retry'
  >,
): RunInfo {
  const date = (text: string | null) => (text === null ? null : new Date(text));
  return {
    dagId: run.dag_id,
    runId: run.run_id,
    type: run.run_type,
    logicalDate: date(run.logical_date),
    dataIntervalStart: date(run.data_interval_start),
    dataIntervalEnd: date(run.data_interval_end),
    runAfter: new Date(run.run_after),
    conf: run.conf,
  };
}

export function makeLogger(host: Pick<TaskHost, 'log'>): Logger {
  const at = (level: LogLevel) => (event: string, fields?: Readonly<Record<string, unknown>>) => {
    const text = typeof event === 'string' ? event : inspect(event);
    host.log(level, text.slice(0, MAX_EVENT_CHARACTERS), fields === undefined ? undefined : loggable(fields));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warning'), error: at('error') };
}

/** Fields as JSON, whatever they hold: a log line must never fail a task. */
function loggable(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    out[key] = plain(value);
  }
  return out;
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? String(value);
  if (typeof value !== 'object' || value === null)
    return typeof value === 'number' || typeof value === 'boolean' || value === null ? value : String(value);
  try {
    const text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner)) ?? String(value);
    return text.length <= MAX_EVENT_CHARACTERS ? JSON.parse(text) : text.slice(0, MAX_EVENT_CHARACTERS);
  } catch {
    return inspect(value, { depth: 4 }).slice(0, MAX_EVENT_CHARACTERS);
  }
}
