/**
 * One try of one task, from the workload to the last report. The order of the end is fixed: the process and all that it
 * started are gone, its log is with the server, its result is stored; then, and only then, the state is reported.
 */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { isAppError } from '@airlock/contract/errors';
import { type RunAnswer, runAnswer } from '@airlock/contract/run-answer';
import type { ExecuteTaskWorkload, ExitReport } from '@airlock/contract/supervisor-api';
import {
  type ChildExit,
  launchSandboxed,
  type SandboxedChild,
  type SandboxSpec,
  type UidRange,
} from '@airlock/proc/sandbox/index';
import type { CallOptions, ExecutionAnswer, TokenHolder } from '../client/index.ts';
import type { RoleContext } from '../role-context.ts';
import { type DeclaredConnections, readDeclaredConnections } from './fs-connections.ts';
import { startHeartbeat } from './heartbeat.ts';
import { type Masker, newMasker } from './mask.ts';
import type { ModuleCache } from './modules.ts';
import { type Ending, judge, type Verdict } from './outcome.ts';
import { selfPath, xcomPath } from './paths.ts';
import type { RunnerPool } from './pool.ts';
import { PATIENT, reportState } from './report.ts';
import { createRequestServer, taskCalls } from './requests.ts';
import { contextOf } from './run-context.ts';
import { TryLog } from './try-log.ts';
import { followProcess, type TryProcess } from './try-process.ts';

export type TryDeps = {
  readonly ctx: RoleContext;
  readonly pool: RunnerPool;
  readonly modules: ModuleCache;
  /** What the pool's runners are started with. */
  readonly spec: SandboxSpec;
  readonly uids: UidRange;
};

type Runtime<R extends string> = Extract<NonNullable<ExecuteTaskWorkload['airlock']>, { runtime: R }>;
type TypeScriptWorkload = ExecuteTaskWorkload & { readonly airlock: Runtime<'typescript'> };
export type PythonWorkload = ExecuteTaskWorkload & { readonly airlock: Runtime<'python'> };

export type RunningTry = {
  readonly done: Promise<void>;
  /** Kills it; it is reported as failed, or for another try. */
  stop(reason: string): void;
};

const NO_CONNECTIONS: DeclaredConnections = { answers: new Map(), folders: [], problems: [] };

/** Tells the server that the process of a workload is gone without a report of its own. Best effort: a sweep finds it too. */
export async function reportDeath(
  ctx: RoleContext,
  tiId: string,
  workloadJti: string,
  message: string,
  exit: ChildExit = NO_EXIT,
): Promise<void> {
  const json: ExitReport = {
    workload_jti: workloadJti,
    outcome: 'died',
    exit_code: exit.code,
    signal: exit.signal,
    message: message.slice(0, 2000),
  };
  await ctx.client
    .call({ token: ctx.token, method: 'POST', path: `/workloads/${tiId}/exit`, json, retry: PATIENT })
    .catch((error: unknown) => ctx.log.warn({ err: error, ti: tiId }, 'exit report failed'));
}

export function startTry(deps: TryDeps, workload: TypeScriptWorkload): RunningTry {
  const stopped = Promise.withResolvers<string>();
  const done = runTry(deps, workload, stopped.promise)
    .catch(async (error: unknown) => {
      deps.ctx.log.error({ err: error, ti: workload.ti.id }, 'a try could not be carried through');
      const message = isAppError(error) ? `${error.message} ${error.remedy}` : 'The worker failed to run this try.';
      await reportDeath(deps.ctx, workload.ti.id, workload.airlock.workload_jti, message);
    })
    .finally(() => deps.pool.refill());
  return { done, stop: stopped.resolve };
}

/**
 * The server's answer to the start, or why the worker has given it up. As patient as a report: a restart of the server must not
 * cost a try that has not done anything yet, and the server takes back what waits for too long.
 */
async function startOf(
  ctx: RoleContext,
  call: Pick<CallOptions, 'token' | 'path' | 'json'>,
  stopped: Promise<string>,
): Promise<ExecutionAnswer | string> {
  const given = new AbortController();
  void stopped.then(() => given.abort());
  try {
    return await ctx.client.call({ ...call, method: 'PATCH', signal: given.signal, retry: PATIENT });
  } catch (error) {
    if (given.signal.aborted) return await stopped;
    throw error;
  }
}

async function runTry(deps: TryDeps, workload: TypeScriptWorkload, stopped: Promise<string>): Promise<void> {
  const { ctx, pool } = deps;
  const { ti, airlock } = workload;
  // Its folders are known only when its connections have been read, with a token that the server gives for its process id.
  const deferred = airlock.needs.connections.length > 0;
  const child = deferred ? launchSandboxed({ ...deps.spec, deferred: true }) : pool.take();
  const token: TokenHolder = { current: workload.token };
  const startedAt = new Date(ctx.clock.nowMs()).toISOString();
  try {
    const json = {
      state: 'running',
      hostname: ctx.hostname,
      unixname: ctx.unixname,
      pid: child.pid,
      start_date: startedAt,
    };
    const run = await startOf(ctx, { token, path: selfPath(ti, 'run'), json }, stopped);
    if (typeof run === 'string') {
      await child.kill();
      await reportDeath(ctx, ti.id, airlock.workload_jti, run);
      return;
    }
    if (run.status !== 200) {
      ctx.log.warn({ ti: ti.id, status: run.status }, 'the server did not let a try start');
      await child.kill();
      await reportDeath(ctx, ti.id, airlock.workload_jti, `The start was refused with ${run.status}.`);
      return;
    }
    await carryOut({ ...deps, workload, child, token, run: runAnswer.parse(run.json()), startedAt, deferred, stopped });
  } finally {
    await child.kill();
  }
}

type Started = TryDeps & {
  readonly workload: TypeScriptWorkload;
  readonly child: SandboxedChild;
  readonly token: TokenHolder;
  readonly run: RunAnswer;
  readonly startedAt: string;
  readonly deferred: boolean;
  readonly stopped: Promise<string>;
};

async function carryOut(started: Started): Promise<void> {
  const { ctx, workload, child, token } = started;
  const { ti } = workload;
  const { config } = ctx;
  const masker = newMasker(config);
  const log: TryLog = new TryLog({
    client: ctx.client,
    token,
    taskInstanceId: ti.id,
    masker,
    clock: ctx.clock,
    maxBytes: config.logging.max_log_bytes,
    hold: (on) => task.hold(on),
  });
  const requests = new AbortController();
  const connections = new Map<string, Awaited<ReturnType<typeof ctx.client.call>>>();
  const server = createRequestServer({
    client: ctx.client,
    token,
    callFor: taskCalls(ti),
    masker,
    signal: requests.signal,
    respond: (answer) => task.respond(answer),
    connections,
  });
  const task: TryProcess = followProcess(child, log, masker, server.serve);
  log.add('airlock', 'info', `Try ${ti.try_number} runs in a process of its own, sandbox tier ${child.tier}.`, {
    sandbox_tier: child.tier,
    pid: child.pid,
    hostname: ctx.hostname,
  });
  const stopHeartbeat = startHeartbeat(ctx, token, ti, { hostname: ctx.hostname, pid: child.pid }, task);
  void started.stopped.then((reason) => task.end({ kind: 'stopped', reason }));

  const begun = begin(started, task, masker, log, connections);
  begun.catch((error: unknown) => {
    const message = isAppError(error) ? error.message : 'The worker could not prepare this try.';
    ctx.log.warn({ err: error, ti: ti.id }, 'a try could not begin');
    task.end({ kind: 'stopped', reason: message });
  });
  const ending = await withTimeout(task, workload.airlock.execution_timeout, config.workers.killed_task_cleanup_time);
  stopHeartbeat();
  requests.abort();
  if (ending.kind === 'gone') {
    log.close();
    await task.finish();
    return;
  }
  await conclude(started, task, masker, log, ending);
}

/** Fetches what the task needs before its first line, all at once, and starts it. */
async function begin(
  { ctx, workload, child, token, run, startedAt, deferred, modules, uids }: Started,
  task: TryProcess,
  masker: Masker,
  log: TryLog,
  connections: Map<string, unknown>,
): Promise<void> {
  const { ti, airlock } = workload;
  const clear = run.xcom_keys_to_clear.map((key) =>
    ctx.client.call({ token, method: 'DELETE', path: xcomPath(ti, ti.task_id, key, { map_index: ti.map_index }) }),
  );
  const [code, declared] = await Promise.all([
    modules.get(airlock.module_hash, ti.id, token),
    deferred ? readDeclaredConnections(ctx.client, token, airlock.needs.connections, uids) : NO_CONNECTIONS,
    ...clear,
  ]);
  for (const [name, answer] of declared.answers) {
    connections.set(name, answer);
    if (answer.status === 200) masker.addConnection(answer.json());
  }
  for (const problem of declared.problems) log.add('airlock', 'warning', problem);
  if (deferred) child.enter(declared.folders);
  task.start({
    type: 'start',
    module: { hash: airlock.module_hash, code, filename: workload.dag_rel_path },
    context: contextOf(ti, run, startedAt),
    work_dir: child.workDir,
  });
}

/** Waits for the end; past the timeout the task is asked to stop, and has a grace period for it. */
async function withTimeout(task: TryProcess, seconds: number | null, graceSeconds: number): Promise<Ending> {
  if (seconds === null) return task.ended;
  const over = new AbortController();
  // Longer than a timer can count is longer than anybody waits.
  const late = delay(Math.min(seconds * 1000, 2 ** 31 - 1), 'late' as const, { signal: over.signal }).catch(
    () => 'late' as const,
  );
  const first = await Promise.race([task.ended, late]);
  over.abort();
  if (first !== 'late') return first;
  task.cancel(`The task's timeout of ${seconds} s is over.`);
  const stopGrace = new AbortController();
  const grace = delay(graceSeconds * 1000, undefined, { signal: stopGrace.signal }).catch(() => undefined);
  await Promise.race([task.ended, grace]);
  stopGrace.abort();
  return { kind: 'timeout', seconds };
}

/** The process had no time for the callbacks of its task. */
export function endedAbruptly(ending: Ending): boolean {
  return ending.kind !== 'outcome' || (ending.outcome.state === 'failed' && ending.outcome.abrupt === true);
}

const NO_EXIT: ChildExit = { code: null, signal: null };
export const exitOf = (ending: Ending): ChildExit => (ending.kind === 'exited' ? ending.exit : NO_EXIT);

async function conclude(
  { ctx, workload, token, run, pool }: Started,
  task: TryProcess,
  masker: Masker,
  log: TryLog,
  ending: Exclude<Ending, { kind: 'gone' }>,
): Promise<void> {
  const { ti } = workload;
  let verdict = judge(ending, run.should_retry, masker);
  const say = ({ level, message, fields }: Verdict) => log.add('airlock', level, message, fields);
  const finished = task.finish();
  const stored = storeResult(ctx, token, ti, ending);
  // An outcome is the process's last word: its log can be sent while it is being killed, which takes 4 ms. Where it has
  // none, its output may still be coming.
  await (ending.kind === 'outcome' ? task.caughtUp() : finished);
  say(verdict);
  const [refusal] = await Promise.all([stored, log.flush(), finished]);
  await log.flush();
  if (refusal !== null) {
    verdict = judge({ kind: 'stopped', reason: refusal }, run.should_retry, masker);
    say(verdict);
    await log.flush();
  }
  if (endedAbruptly(ending)) {
    // The server ends it, and starts the callback that the process could not run.
    await reportDeath(ctx, ti.id, workload.airlock.workload_jti, verdict.message, exitOf(ending));
    return;
  }
  const reported = reportState(ctx.client, token, ti, verdict.final, ctx.clock.nowMs());
  // Starting a process stops this one for some milliseconds: best while the server is busy with the report, and finds out
  // what runs next.
  void nextTurn().then(() => pool.refill());
  const { accepted, answer } = await reported;
  if (!accepted) {
    ctx.log.warn({ ti: ti.id, state: verdict.final.state, status: answer.status }, 'the server did not take a state');
    await reportDeath(ctx, ti.id, workload.airlock.workload_jti, `The state ${verdict.final.state} was refused.`);
  }
}

/** @returns why the result could not be stored, or null */
async function storeResult(
  ctx: RoleContext,
  token: TokenHolder,
  ti: TypeScriptWorkload['ti'],
  ending: Ending,
): Promise<string | null> {
  if (ending.kind !== 'outcome' || ending.outcome.state !== 'success' || !ending.outcome.has_value) return null;
  const { value, mapped_length: length } = ending.outcome;
  const query = { map_index: ti.map_index, ...(length === null ? {} : { mapped_length: length }) };
  const path = xcomPath(ti, ti.task_id, 'return_value', query);
  try {
    const answer = await ctx.client.call({
      token,
      method: 'POST',
      path,
      json: value ?? null,
      timeoutMs: 30_000,
      retry: PATIENT,
    });
    if (answer.status < 300) return null;
    return `The task's result was refused by the server (${answer.status}): ${answer.text().slice(0, 500)}`;
  } catch {
    return "The task's result could not be stored: the server can't be reached.";
  }
}
