/**
 * One callback that the server has started: a process of its own in the sandbox, as a task has, but with a token that reads
 * what its Dag declares and what its run has left, and does nothing else. It is run once; what becomes of it changes no task and no run.
 * @see docs/decisions/0021-callbacks-are-workloads.md
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type CallbackOrder,
  type CallbackReport,
  callbackOrder,
  type ExecuteCallbackWorkload,
} from '@airlock/contract/callbacks';
import { isAppError } from '@airlock/contract/errors';
import type { SandboxedChild } from '@airlock/proc/sandbox/index';
import type { TokenHolder } from '../client/index.ts';
import { type BundleFiles, filesOfBundle } from '../git/files.ts';
import { pythonLines } from '../python/lines.ts';
import type { PythonPool } from '../python/pool.ts';
import { callbackPath, startRelay } from '../python/relay.ts';
import type { RoleContext } from '../role-context.ts';
import { type Masker, newMasker } from '../task/mask.ts';
import { judge } from '../task/outcome.ts';
import type { RunnerPool } from '../task/pool.ts';
import { PATIENT } from '../task/report.ts';
import { callbackCalls, createRequestServer } from '../task/requests.ts';
import type { RunningTry } from '../task/try.ts';
import { followProcess, type TryProcess } from '../task/try-process.ts';
import { CallbackOutput } from './output.ts';

const MESSAGE_LENGTH = 2000;

export type CallbackDeps = { readonly ctx: RoleContext; readonly pool: RunnerPool; readonly hosts: PythonPool };

export function startCallback(deps: CallbackDeps, workload: ExecuteCallbackWorkload): RunningTry {
  const stopped = Promise.withResolvers<string>();
  const done = run(deps, workload, stopped.promise)
    .catch((error: unknown) =>
      deps.ctx.log.error({ err: error, callback: workload.callback.id }, 'a callback could not be carried through'),
    )
    .finally(() => deps.pool.refill());
  return { done, stop: stopped.resolve };
}

async function run(deps: CallbackDeps, workload: ExecuteCallbackWorkload, stopped: Promise<string>): Promise<void> {
  const { ctx, pool, hosts } = deps;
  const { id } = workload.callback;
  const token: TokenHolder = { current: workload.token };
  const answer = await ctx.client.call({ token, method: 'PATCH', path: `/callbacks/${id}/run` });
  if (answer.status !== 200) {
    ctx.log.warn({ callback: id, status: answer.status }, 'the server did not let a callback start');
    return;
  }
  const order = callbackOrder.parse(answer.json());
  let report: CallbackReport;
  let child: SandboxedChild | null = null;
  let files: BundleFiles | null = null;
  try {
    const { airlock, bundle_info: bundle } = workload;
    if (airlock.runtime === 'python')
      files = await filesOfBundle(ctx, { path: airlock.bundle_path, git: airlock.git, version: bundle.version });
    child = files === null ? pool.take() : await hosts.take({ name: bundle.name, root: files.root });
    const started = { ctx, workload, order, child, token, stopped };
    report = files === null ? await runTypeScript(started) : await runPython(started, files.root);
  } catch (error) {
    if (!isAppError(error)) throw error;
    report = { state: 'failed', message: `${error.message} ${error.remedy}`.slice(0, MESSAGE_LENGTH), output: '' };
  } finally {
    await child?.kill();
    files?.release();
  }
  const sent = await ctx.client.call({
    token,
    method: 'PATCH',
    path: `/callbacks/${id}/state`,
    json: report,
    retry: PATIENT,
  });
  if (sent.status >= 300)
    ctx.log.warn({ callback: id, status: sent.status }, 'the server did not take the end of a callback');
}

type Started = {
  readonly ctx: RoleContext;
  readonly workload: ExecuteCallbackWorkload;
  readonly order: CallbackOrder;
  readonly child: SandboxedChild;
  readonly token: TokenHolder;
  readonly stopped: Promise<string>;
};

/** What the child is told of the order. */
function factsOf({ timeout_seconds: _limit, module: _module, ...facts }: CallbackOrder) {
  return facts;
}

async function runTypeScript({ ctx, workload, order, child, token, stopped }: Started): Promise<CallbackReport> {
  const { module } = order;
  if (module === null)
    return { state: 'failed', message: 'The version of its Dag has no module any more.', output: '' };
  const masker = newMasker(ctx.config);
  const output = new CallbackOutput(masker, ctx.clock);
  const requests = new AbortController();
  const server = createRequestServer({
    client: ctx.client,
    token,
    callFor: callbackCalls(workload.callback.id, order.dag_run),
    masker,
    signal: requests.signal,
    respond: (answer) => task.respond(answer),
    connections: new Map(),
  });
  const task: TryProcess = followProcess(child, output, masker, server.serve);
  task.start({
    type: 'start_callback',
    module: { ...module, filename: workload.dag_rel_path },
    order: factsOf(order),
    work_dir: child.workDir,
  });
  try {
    return await reportOf(task, masker, output, order.timeout_seconds, stopped);
  } finally {
    requests.abort();
  }
}

async function runPython(
  { ctx, workload, order, child, token, stopped }: Started,
  root: string,
): Promise<CallbackReport> {
  const { id } = workload.callback;
  const masker = newMasker(ctx.config);
  const output = new CallbackOutput(masker, ctx.clock);
  const task = followProcess(child, output, masker, () => undefined, pythonLines(output));
  const relay = await startRelay({
    client: ctx.client,
    token,
    ti: { id },
    pathFor: (url) => callbackPath(url, id),
    place: { hostname: ctx.hostname, unixname: ctx.unixname, pid: child.pid },
    masker,
    onReport: () => undefined,
  });
  try {
    child.send({
      type: 'python_callback',
      order: factsOf(order),
      file: join(root, workload.dag_rel_path),
      bundle_root: root,
      bundle_name: workload.bundle_info.name,
      bundle_version: workload.bundle_info.version,
      url: relay.url,
      bearer: relay.bearer,
      env: { AIRFLOW__CORE__DAGS_FOLDER: root },
    });
    return await reportOf(task, masker, output, order.timeout_seconds, stopped);
  } finally {
    await relay.close();
  }
}

/** Waits for the end, whatever ends it, and for what was printed. */
async function reportOf(
  task: TryProcess,
  masker: Masker,
  output: CallbackOutput,
  seconds: number,
  stopped: Promise<string>,
): Promise<CallbackReport> {
  const over = new AbortController();
  void delay(seconds * 1000, undefined, { signal: over.signal }).then(
    () => task.end({ kind: 'timeout', seconds: Math.round(seconds) }),
    () => undefined,
  );
  void stopped.then((reason) => task.end({ kind: 'stopped', reason }));
  const ending = await task.ended;
  over.abort();
  await task.finish();
  if (ending.kind === 'outcome' && ending.outcome.state === 'success')
    return { state: 'success', message: null, output: output.text() };
  const { message, level, fields } = judge(
    ending.kind === 'gone' ? { kind: 'stopped', reason: 'gone' } : ending,
    false,
    masker,
  );
  output.add('airlock', level, message, fields);
  return { state: 'failed', message: message.slice(0, MESSAGE_LENGTH), output: output.text() };
}
