/** The worker role: takes workloads while it has room, and carries each through in a process of its own. */
import { claimAnswer, type ExecuteTaskWorkload, type Workload } from '@airlock/contract/supervisor-api';
import type { SandboxSpec } from '@airlock/proc/sandbox/index';
import { startCallback } from '../callback/run.ts';
import { createPythonHosts, pythonChildren } from '../python/host.ts';
import { startPythonTry } from '../python/try.ts';
import type { Role, RoleContext } from '../role-context.ts';
import { claimLoop } from './claim.ts';
import { commandServes, refuseTry, startCommandTry } from './command.ts';
import { startConnectionTest } from './connection-test.ts';
import { ModuleCache } from './modules.ts';
import { createRunnerPool } from './pool.ts';
import { type RunningTry, startTry, type TryDeps } from './try.ts';

export type TaskRole = Role & {
  /** Ids of the tries that this worker holds now. */
  readonly holds: () => readonly string[];
};

const MIB = 1024 * 1024;

/** What every runner of this worker is started with. */
export function runnerSpec(ctx: RoleContext): SandboxSpec {
  const { sandbox } = ctx.config;
  return {
    tier: ctx.tier,
    entry: ctx.entries.runner,
    enterScript: ctx.entries.enterScript,
    packages: ctx.packages,
    network: 'host',
    hide: ctx.hidden,
    workBase: ctx.workBase,
    uids: { first: sandbox.uid_range_start, size: sandbox.uid_range_size },
    nodeArgs: [`--max-old-space-size=${sandbox.memory_limit_mb}`],
    limits: {
      openFiles: sandbox.max_open_files,
      processes: sandbox.max_processes,
      fileBytes: sandbox.max_file_mb * MIB,
    },
  };
}

export function startTaskRole(ctx: RoleContext): TaskRole {
  const spec = runnerSpec(ctx);
  const pool = createRunnerPool(spec, ctx.config.workers.runner_pool_size, (error) =>
    ctx.log.error({ err: error }, 'an idle runner could not be started'),
  );
  const running = new Map<string, RunningTry>();
  const callbacks = new Map<string, RunningTry>();
  const tests = new Map<string, RunningTry>();
  const deps: TryDeps = { ctx, pool, modules: new ModuleCache(ctx.client), spec, uids: spec.uids! };
  const children = pythonChildren(ctx);
  const python = { ctx, hosts: createPythonHosts(ctx, () => 'host') };
  let freed: (() => void) | null = null;

  const start = (workload: ExecuteTaskWorkload): RunningTry => {
    const { airlock, ti } = workload;
    if (airlock?.runtime === 'typescript') return startTry(deps, { ...workload, airlock });
    if (airlock?.runtime === 'python') return startPythonTry(python, { ...workload, airlock });
    return commandServes(ctx, ti.queue) ? startCommandTry(ctx, workload) : refuseTry(ctx, workload);
  };
  const hold = (held: Map<string, RunningTry>, id: string, one: RunningTry) => {
    held.set(id, one);
    void one.done.finally(() => {
      if (held.get(id) === one) held.delete(id);
      freed?.();
    });
  };
  const accept = (workload: Workload) => {
    if (workload.type === 'ExecuteTask') hold(running, workload.ti.id, start(workload));
    else if (workload.type === 'TestConnection')
      hold(tests, workload.connection_test_id, startConnectionTest(ctx, children, workload));
    else hold(callbacks, workload.callback.id, startCallback({ ctx, pool, hosts: python.hosts }, workload));
  };
  const loop = claimLoop({
    ctx,
    freeSlots: () => ctx.config.core.parallelism - running.size - callbacks.size,
    slotFreed: () =>
      new Promise((resolve) => {
        freed = resolve;
      }),
    accept: (workloads) => workloads.forEach(accept),
    parse: (body) => claimAnswer.parse(body).workloads,
  });
  pool.refill();
  return {
    holds: () => [...running.keys()],
    async stop() {
      await loop.stop();
      const all = [...running.values(), ...callbacks.values(), ...tests.values()];
      for (const one of all) one.stop('The worker was stopped.');
      await Promise.allSettled(all.map((one) => one.done));
      await Promise.all([pool.stop(), python.hosts.stop()]);
    },
  };
}
