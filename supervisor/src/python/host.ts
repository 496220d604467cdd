/** What a child that runs the user's Python is started with. One child serves one Dag file or one try, and ends. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SandboxSpec } from '@airlock/proc/sandbox/index';
import type { RoleContext } from '../role-context.ts';
import { findInterpreter, type Interpreter } from './interpreter.ts';
import { createPythonPool, type PythonPool } from './pool.ts';

const HOST = fileURLToPath(new URL('../../../sdk/python/airlock_host.py', import.meta.url));
const MIB = 1024 * 1024;
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const SECOND_MS = 1000;

/** The variables of ours that `[python] env` names, and what keeps Airflow away from every database and file of its own. */
function environment(ctx: RoleContext, { program }: Interpreter): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of ctx.config.python.env) {
    const value = ctx.environment[name];
    if (value !== undefined) env[name] = value;
  }
  return {
    ...env,
    PATH: `${dirname(program)}:${SYSTEM_PATH}`,
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONUNBUFFERED: '1',
    AIRFLOW_CONFIG: '/dev/null',
    AIRFLOW__CORE__LOAD_EXAMPLES: 'False',
    // A database in the memory of the process, empty: whoever asks it finds no table.
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: 'sqlite://',
    AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT: String(ctx.config.core.dagbag_import_timeout),
    AIRFLOW__CORE__TASK_SUCCESS_OVERTIME: String(Math.ceil(ctx.config.core.task_success_overtime)),
  };
}

/**
 * Children that run `script`, one of ours, by the user's Python. They see its installation and the given folders.
 * @throws AppError PYTHON_UNAVAILABLE, from what is returned
 */
export function pythonSpec(
  ctx: RoleContext,
  network: SandboxSpec['network'],
  script: string,
): (folders: readonly string[]) => SandboxSpec {
  const { sandbox, python } = ctx.config;
  let found: Interpreter | null = null;
  return (folders) => {
    found ??= findInterpreter(python.interpreter, ctx.environment.PATH ?? SYSTEM_PATH);
    const { program, shown, links } = found;
    return {
      tier: ctx.tier,
      entry: ctx.entries.runner,
      enterScript: ctx.entries.enterScript,
      program: {
        argv: [program, script],
        memoryBytes: sandbox.memory_limit_mb * MIB,
        links,
      },
      packages: ctx.packages,
      network,
      hide: ctx.hidden,
      workBase: ctx.workBase,
      uids: { first: sandbox.uid_range_start, size: sandbox.uid_range_size },
      env: environment(ctx, found),
      extra: [...new Set([...shown, ...python.paths, ...folders])].map((path) => ({ path, access: 'read' as const })),
      limits: {
        openFiles: sandbox.max_open_files,
        processes: sandbox.max_processes,
        fileBytes: sandbox.max_file_mb * MIB,
      },
    };
  };
}

/** Children for one role. Parses have no network; tasks share the host's, as those of TypeScript do. */
export function createPythonHosts(ctx: RoleContext, network: SandboxSpec['network']): PythonPool {
  const { python } = ctx.config;
  const spec = pythonSpec(ctx, network, HOST);
  return createPythonPool({
    size: python.pool_size,
    idleMs: python.pool_idle_time * SECOND_MS,
    onFailure: (error) => ctx.log.error({ err: error }, 'an idle Python could not be started'),
    spec: (bundleRoot) => spec([bundleRoot]),
  });
}
