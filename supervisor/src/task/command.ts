/**
 * Workloads for other languages: handed, token untouched, to the operator's `[workers] command`, which speaks to the server
 * itself. All that is ours is to start it, to end it, and to say that it has ended.
 */
import type { ExecuteTaskWorkload, ExitReport } from '@airlock/contract/supervisor-api';
import { startCommand } from '@airlock/proc/command';
import { splitCommand } from '@airlock/proc/config-load';
import type { RoleContext } from '../role-context.ts';
import { type RunningTry, reportDeath } from './try.ts';

const MAX_LINE = 4096;
/** Set for every child, whatever the supervisor itself was given. */
const ACCOUNT = { USER: 'airlock', LOGNAME: 'airlock' };
const ALWAYS = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'TZ', 'TMPDIR'];

/** Whether the command serves a queue; `*` = all. TypeScript tasks never come here. */
export function commandServes(ctx: RoleContext, queue: string): boolean {
  const { command, command_queues: queues } = ctx.config.workers;
  return command !== null && (queues.includes(queue) || queues.includes('*'));
}

/** The `jti` of the workload's token. Unverified, and only echoed to the server that made it. */
function peekUnverifiedJti(token: string): string {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
      jti?: unknown;
    };
    return typeof claims.jti === 'string' ? claims.jti : '';
  } catch {
    return '';
  }
}

function environment(ctx: RoleContext): Record<string, string> {
  const env: Record<string, string> = { ...ACCOUNT };
  for (const name of [...ALWAYS, ...ctx.config.workers.command_env]) {
    const value = ctx.environment[name];
    if (value !== undefined) env[name] = value;
  }
  env.AIRFLOW__CORE__EXECUTION_API_SERVER_URL = `${ctx.executionUrl.replace(/\/+$/, '')}/`;
  return env;
}

export function startCommandTry(ctx: RoleContext, workload: ExecuteTaskWorkload): RunningTry {
  const { sandbox, workers } = ctx.config;
  const command = startCommand({
    argv: splitCommand(workers.command ?? ''),
    input: JSON.stringify(workload),
    env: environment(ctx),
    uids: { first: sandbox.uid_range_start, size: sandbox.uid_range_size },
    workBase: ctx.workBase,
  });
  for (const [name, stream] of [
    ['stdout', command.stdout],
    ['stderr', command.stderr],
  ] as const) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      ctx.log.debug({ ti: workload.ti.id, [name]: text.slice(0, MAX_LINE) }, 'worker command');
    });
  }
  ctx.log.info({ ti: workload.ti.id, pid: command.pid }, 'a workload was given to the worker command');
  const done = command.exited.then(async ({ code, signal, problem }) => {
    // Also after a good end: the server does something only if the try is still open, and then nobody else would.
    const json: ExitReport = {
      workload_jti: peekUnverifiedJti(workload.token),
      outcome: 'died',
      exit_code: code,
      signal,
      message: problem ?? 'The worker command ended, and the task was still open.',
    };
    await ctx.client
      .call({ token: ctx.token, method: 'POST', path: `/workloads/${workload.ti.id}/exit`, json })
      .catch((error: unknown) => ctx.log.warn({ err: error, ti: workload.ti.id }, 'exit report failed'));
  });
  return { done, stop: () => command.stop(workers.killed_task_cleanup_time * 1000) };
}

/** A workload that nothing in this worker runs: said at once, so that nobody waits for it. */
export function refuseTry(ctx: RoleContext, { ti, token }: ExecuteTaskWorkload): RunningTry {
  ctx.log.error({ ti: ti.id, queue: ti.queue }, 'a workload for another language, and no command serves its queue');
  const message = `No worker runs tasks of other languages in the queue ${ti.queue}: set [workers] command and command_queues.`;
  return { done: reportDeath(ctx, ti.id, peekUnverifiedJti(token), message), stop: () => undefined };
}
