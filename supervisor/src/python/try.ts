/**
 * One try of one Python task: the unmodified supervisor of the user's own Task SDK, whole inside a sandbox, behind a relay.
 * The order of the end is that of every try: its process and all that it started are gone, its log is with the server; then,
 * and only then, what it reported is sent on, or what became of it without a report.
 * @see docs/decisions/0016-python-runs-whole-behind-a-relay.md
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isAppError } from '@airlock/contract/errors';
import type { StateReport } from '@airlock/contract/execution/state-report';
import { type RunAnswer, runAnswer } from '@airlock/contract/run-answer';
import type { SandboxedChild } from '@airlock/proc/sandbox/index';
import type { TokenHolder } from '../client/index.ts';
import { filesOfBundle } from '../git/files.ts';
import type { RoleContext } from '../role-context.ts';
import { startHeartbeat } from '../task/heartbeat.ts';
import { type Masker, newMasker } from '../task/mask.ts';
import { type Ending, judge } from '../task/outcome.ts';
import { selfPath } from '../task/paths.ts';
import { reportState, sendReport } from '../task/report.ts';
import { exitOf, type PythonWorkload, type RunningTry, reportDeath } from '../task/try.ts';
import { TryLog } from '../task/try-log.ts';
import { followProcess, type TryProcess } from '../task/try-process.ts';
import { pythonLines } from './lines.ts';
import type { PythonPool } from './pool.ts';
import { type Relay, startRelay } from './relay.ts';

const LOCAL_BUNDLE = 'airflow.dag_processing.bundles.local.LocalDagBundle';
/** The Task SDK keeps the time limit of a task itself; this is what it may take longer before the worker steps in. */
const TIMEOUT_GRACE_SECONDS = 60;
/** More than a timer can count. */
const LONGEST_MS = 2 ** 31 - 1;

export type PythonTryDeps = { readonly ctx: RoleContext; readonly hosts: PythonPool };

export function startPythonTry(deps: PythonTryDeps, workload: PythonWorkload): RunningTry {
  const stopped = Promise.withResolvers<string>();
  const done = runTry(deps, workload, stopped.promise).catch(async (error: unknown) => {
    deps.ctx.log.error({ err: error, ti: workload.ti.id }, 'a Python try could not be carried through');
    const message = isAppError(error) ? `${error.message} ${error.remedy}` : 'The worker failed to run this try.';
    await reportDeath(deps.ctx, workload.ti.id, workload.airlock.workload_jti, message);
  });
  return { done, stop: stopped.resolve };
}

async function runTry(deps: PythonTryDeps, workload: PythonWorkload, stopped: Promise<string>): Promise<void> {
  const { airlock, bundle_info: bundle } = workload;
  const { root, release } = await filesOfBundle(deps.ctx, {
    path: airlock.bundle_path,
    git: airlock.git,
    version: bundle.version,
  });
  try {
    await runFrom(root, deps, workload, stopped);
  } finally {
    release();
  }
}

async function runFrom(
  root: string,
  { ctx, hosts }: PythonTryDeps,
  workload: PythonWorkload,
  stopped: Promise<string>,
): Promise<void> {
  const { ti, airlock } = workload;
  const child = await hosts.take({ name: workload.bundle_info.name, root });
  const token: TokenHolder = { current: workload.token };
  const place = { hostname: ctx.hostname, unixname: ctx.unixname, pid: child.pid };
  try {
    // The token is bought here and not by the child: so there is a log from the first moment, and a report in any case.
    const run = await ctx.client.call({
      token,
      method: 'PATCH',
      path: selfPath(ti, 'run'),
      json: { state: 'running', ...place, start_date: new Date(ctx.clock.nowMs()).toISOString() },
    });
    if (run.status !== 200) {
      ctx.log.warn({ ti: ti.id, status: run.status }, 'the server did not let a try start');
      await child.kill();
      await reportDeath(ctx, ti.id, airlock.workload_jti, `The start was refused with ${run.status}.`);
      return;
    }
    await carryOut({ ctx, workload, child, token, place, root, run: runAnswer.parse(run.json()), stopped });
  } finally {
    await child.kill();
  }
}

type Started = {
  readonly ctx: RoleContext;
  readonly workload: PythonWorkload;
  readonly child: SandboxedChild;
  readonly token: TokenHolder;
  readonly place: { readonly hostname: string; readonly unixname: string; readonly pid: number };
  readonly root: string;
  readonly run: RunAnswer;
  readonly stopped: Promise<string>;
};

async function carryOut(started: Started): Promise<void> {
  const { ctx, workload, child, token, place } = started;
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
  // Its channel is closed once it has its order: what still comes there is nothing that it needs to say.
  const task: TryProcess = followProcess(child, log, masker, () => undefined, pythonLines(log));
  log.add('airlock', 'info', `Try ${ti.try_number} runs in a process of its own, sandbox tier ${child.tier}.`, {
    sandbox_tier: child.tier,
    pid: child.pid,
    hostname: ctx.hostname,
  });
  const stopHeartbeat = startHeartbeat(ctx, token, ti, place, task);
  const over = new AbortController();
  const after = (seconds: number, then: () => void) =>
    void delay(Math.min(seconds * 1000, LONGEST_MS), undefined, { signal: over.signal }).then(then, () => undefined);
  void started.stopped.then((reason) => task.end({ kind: 'stopped', reason }));
  const limit = workload.airlock.execution_timeout;
  if (limit !== null) after(limit + TIMEOUT_GRACE_SECONDS, () => task.end({ kind: 'timeout', seconds: limit }));
  const overtime = config.core.task_success_overtime;
  const relay = await startRelay({
    client: ctx.client,
    token,
    ti,
    place,
    masker,
    onReport: () =>
      after(overtime, () => {
        log.add('airlock', 'warning', `The process went on for ${overtime} s after its report, and was killed.`);
        task.end({ kind: 'stopped', reason: 'overtime' });
      }),
  });
  try {
    child.send({ type: 'python_task', ...order(started, relay) });
    const ending = await task.ended;
    over.abort();
    await task.finish();
    await relay.close();
    if (ending.kind === 'gone') log.close();
    else await conclude(started, masker, log, ending, relay.report());
  } finally {
    over.abort();
    stopHeartbeat();
    await relay.close();
  }
}

/** What the child is told: a workload in which nothing is worth stealing, and where to find what it names. */
function order(
  { workload, root, child }: Started,
  relay: Relay,
): { workload: Record<string, unknown>; env: Record<string, string> } {
  const { airlock: _ours, ...wire } = workload;
  const bundle = { name: workload.bundle_info.name, classpath: LOCAL_BUNDLE, kwargs: { path: root } };
  return {
    workload: { ...wire, token: relay.bearer },
    env: {
      AIRFLOW__CORE__EXECUTION_API_SERVER_URL: relay.url,
      AIRFLOW__CORE__DAGS_FOLDER: root,
      AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: JSON.stringify([bundle]),
      AIRFLOW__LOGGING__BASE_LOG_FOLDER: `${child.workDir}/logs`,
    },
  };
}

async function conclude(
  { ctx, workload, token, run }: Started,
  masker: Masker,
  log: TryLog,
  ending: Exclude<Ending, { kind: 'gone' }>,
  report: StateReport | null,
): Promise<void> {
  const { ti, airlock } = workload;
  const say = async (how: Exclude<Ending, { kind: 'gone' }>) => {
    const verdict = judge(how, run.should_retry, masker);
    log.add('airlock', verdict.level, verdict.message, verdict.fields);
    await log.flush();
    return verdict;
  };
  await log.flush();
  if (report === null) {
    // The server ends it, and starts the callback that the Task SDK could not run.
    const { message } = await say(ending);
    await reportDeath(ctx, ti.id, airlock.workload_jti, message, exitOf(ending));
    return;
  }
  let sent = await sendReport(ctx.client, token, ti, report);
  if (!sent.accepted && sent.answer.status < 409) {
    const reason = `The server refused the state ${report.state} (${sent.answer.status}): ${sent.answer.text().slice(0, 500)}`;
    const { final } = await say({ kind: 'stopped', reason });
    sent = await reportState(ctx.client, token, ti, final, ctx.clock.nowMs());
  }
  if (sent.accepted) return;
  ctx.log.warn({ ti: ti.id, status: sent.answer.status }, 'the server did not take a state');
  await reportDeath(ctx, ti.id, airlock.workload_jti, `The report was refused with ${sent.answer.status}.`);
}
