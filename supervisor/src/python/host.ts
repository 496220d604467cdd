/** What a child that runs the user's Python is started with. One child serves one Dag file or one try, and ends. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SandboxSpec } from '@airlock/proc/sandbox/index';
import { startTemplate, whyNoTemplate } from '@airlock/proc/sandbox/template';
import type { RoleContext } from '../role-context.ts';
import { findInterpreter, type Interpreter, interpreterStamp } from './interpreter.ts';
import { createPythonPool, type PythonBundle, type PythonPool } from './pool.ts';

const HOST = fileURLToPath(new URL('../../../sdk/python/airlock_host.py', import.meta.url));
const MIB = 1024 * 1024;
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SECOND_MS = 1000;
/** Bounds on importing Airflow, and on a fork of what has, on a busy machine. */
const TEMPLATE_START_MS = 120_000;
const FORK_MS = 30_000;
const TEMPLATE_RETRY_MS = 60_000;

/** The variables of ours that `[python] env` names, and what keeps Airflow away from every database and file of its own. */
export function pythonEnvironment(
  ctx: Pick<RoleContext, 'config' | 'environment'>,
  { program }: Pick<Interpreter, 'program'>,
): Record<string, string> {
  const env: Record<string, string> = {};
  const { base_url: baseUrl } = ctx.config.api;
  const { plugins_folder: plugins } = ctx.config.core;
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
    ...(plugins === null ? {} : { AIRFLOW__CORE__PLUGINS_FOLDER: plugins }),
    // A database in the memory of the process, empty: whoever asks it finds no table.
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: 'sqlite://',
    AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT: String(ctx.config.core.dagbag_import_timeout),
    AIRFLOW__DAG_PROCESSOR__DISABLE_BUNDLE_VERSIONING: String(ctx.config.dag_processor.disable_bundle_versioning),
    AIRFLOW__CORE__TASK_SUCCESS_OVERTIME: String(Math.ceil(ctx.config.core.task_success_overtime)),
    // Links that operators store as XComs begin with it.
    ...(baseUrl === null ? {} : { AIRFLOW__API__BASE_URL: baseUrl }),
  };
}

/** Folders of packages and plugins beside the interpreter's own. */
const pathsOf = ({ python, core }: RoleContext['config']): readonly string[] =>
  core.plugins_folder === null ? python.paths : [...python.paths, core.plugins_folder];

const splitAt = (text: string, at: number) => [text.slice(0, at).trim(), text.slice(at + 1).trim()] as const;

export type PythonChildren = {
  /** The interpreter of a bundle; null = of none, such as what is installed. @throws AppError PYTHON_UNAVAILABLE */
  readonly interpreter: (bundleName: string | null) => Interpreter;
  /** Runs one of our scripts by it. It sees its installation and the given folders. @throws as `interpreter` */
  readonly spec: (child: {
    readonly bundle: string | null;
    readonly network: SandboxSpec['network'];
    readonly script: string;
    readonly args?: readonly string[];
    readonly folders?: readonly string[];
  }) => SandboxSpec;
};

export function pythonChildren(ctx: RoleContext): PythonChildren {
  const { sandbox, python } = ctx.config;
  const paths = pathsOf(ctx.config);
  const ofBundle = new Map(python.interpreters.map((item) => splitAt(item, item.indexOf('='))));
  const interpreter = (name: string | null) =>
    findInterpreter(
      (name === null ? undefined : ofBundle.get(name)) ?? python.interpreter,
      ctx.environment.PATH ?? SYSTEM_PATH,
    );
  return {
    interpreter,
    spec({ bundle, network, script, args = [], folders = [] }) {
      const found = interpreter(bundle);
      const { program, shown, links } = found;
      return {
        tier: ctx.tier,
        entry: ctx.entries.runner,
        enterScript: ctx.entries.enterScript,
        program: {
          argv: [program, script, ...args],
          memoryBytes: sandbox.memory_limit_mb * MIB,
          links,
        },
        packages: ctx.packages,
        network,
        hide: ctx.hidden,
        workBase: ctx.workBase,
        uids: { first: sandbox.uid_range_start, size: sandbox.uid_range_size },
        env: pythonEnvironment(ctx, found),
        extra: [...new Set([...shown, ...paths, ...folders])].map((path) => ({ path, access: 'read' as const })),
        limits: {
          openFiles: sandbox.max_open_files,
          processes: sandbox.max_processes,
          fileBytes: sandbox.max_file_mb * MIB,
        },
      };
    },
  };
}

/** Children for one role. @param networkOf whether those of a bundle share the host's network */
export function createPythonHosts(
  ctx: RoleContext,
  networkOf: (bundleName: string) => SandboxSpec['network'],
): PythonPool {
  const { python } = ctx.config;
  const children = pythonChildren(ctx);
  const spec = ({ name, root }: PythonBundle, ...args: readonly string[]) =>
    children.spec({ bundle: name, network: networkOf(name), script: HOST, args, folders: [root] });
  return createPythonPool({
    size: python.pool_size,
    idleMs: python.pool_idle_time * SECOND_MS,
    retryMs: TEMPLATE_RETRY_MS,
    spec,
    stamp: ({ name }) => interpreterStamp(children.interpreter(name), pathsOf(ctx.config)),
    startTemplate: python.template
      ? async (bundle) => {
          const wanted = spec(bundle, 'template');
          const reason = whyNoTemplate(wanted);
          if (reason !== null) throw new Error(reason);
          return startTemplate({ spec: wanted, startMs: TEMPLATE_START_MS, forkMs: FORK_MS });
        }
      : null,
    log: {
      noTemplate: ({ name }, error) =>
        ctx.log.warn({ err: error, bundle: name }, 'no template for Python; each process imports Airflow by itself'),
      noIdle: (error) => ctx.log.error({ err: error }, 'an idle Python could not be started'),
    },
  });
}
