/** The three Node processes: what each is given, and how they learn of each other. */
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import {
  type ControlValues,
  configFor,
  type SupervisorValues,
  shownConfig,
  type TokenServiceValues,
} from '@airlock/contract/config/handed';
import type { Config } from '@airlock/contract/config/index';
import { type Info, type NodeServiceSpec, nodeService, type Service } from '@airlock/proc/service';
import { readCertificates, type TlsFiles } from '@airlock/proc/tls-files';
import type { EnvironmentSecrets } from '@airlock/secret-backends';
import type { Entries } from './entries.ts';
import { type Account, type Layout, programPaths } from './layout.ts';
import type { Log } from './log.ts';

export type ServiceContext = {
  readonly config: Config;
  readonly layout: Layout;
  readonly log: Log;
  readonly entries: Entries;
  /** Environment of every process: nothing of ours but language and time zone. */
  readonly env: Readonly<Record<string, string>>;
  /** Further variables of the supervisor, which passes some of them to `[workers] command`. */
  readonly workerEnv: Readonly<Record<string, string>>;
  readonly examplesDir: string | null;
  readonly fernetKey: string;
  readonly environmentSecrets: EnvironmentSecrets;
  /** PEM texts of the API server; null = plain http. */
  readonly tls: TlsFiles | null;
  /** Given to the first control that becomes ready, to make the user `admin` with. */
  readonly adminPassword: string | null;
  /** Name of this data folder among all, for the supervisor that lives in it. */
  readonly place: string;
  /** Control's database address, when the database is ready. */
  readonly databaseUrl: Promise<string>;
  /** Called when one has died, before it is started again. */
  readonly onDown: () => void;
  /** Called when the set of process ids may have changed. */
  readonly onChange: () => void;
};

export type Services = {
  readonly tokenService: Service;
  readonly control: Service;
  readonly supervisor: Service;
  /** Of the first ready control. */
  readonly controlInfo: Promise<Info>;
};

/**
 * Limits of V8's heap, MB. `old`: a leak shows as a restart instead of a machine without memory. `young`: left to itself V8
 * keeps 16 MB twice for short-lived objects in each process; measured idle, these save 25 MB together.
 */
const HEAP_MB = {
  'token-service': { old: 64, young: 1 },
  control: { old: 1024, young: 4 },
  supervisor: { old: 1024, young: 2 },
} as const;

/** Starts all three at once; each loads its code while it waits for its values. */
export function startServices(context: ServiceContext): Services {
  const { config, layout } = context;
  const { accounts } = layout;
  const controlUid = accounts?.control.uid ?? process.getuid!();
  // The port that control got when `[api] port` is 0: kept for later starts, since workers know it by then.
  let port = config.api.port;
  let adminPassword = context.adminPassword;

  const tokenService = nodeService({
    ...common(context, 'token-service', accounts?.tokenService ?? null),
    values: async () =>
      ({
        config: configFor(config, 'token-service'),
        keys_dir: layout.signingKeysDir,
        socket_path: layout.tokenSocket,
        generate: true,
      }) satisfies TokenServiceValues,
    onReady: () => {
      // A new signer knows nobody: the control that runs now must be named to it.
      if (control.pid() !== 0) introduce(control.pid());
    },
  });
  const introduce = (pid: number) => tokenService.send({ type: 'peer', uid: controlUid, pid });

  const control: Service = nodeService({
    ...common(context, 'control', accounts?.control ?? null),
    values: async (pid) => {
      const [databaseUrl] = await Promise.all([context.databaseUrl, tokenService.firstReady]);
      introduce(pid);
      return {
        config: configFor({ ...config, api: { ...config.api, port } }, 'control'),
        shown_config: shownConfig(config),
        database_url: databaseUrl,
        token_socket: layout.tokenSocket,
        fernet_key: context.fernetKey,
        environment_secrets: context.environmentSecrets,
        roles: ['api', 'scheduler'],
        control_socket: layout.controlSocket,
        operator_uids: [process.getuid!()],
        admin_password: adminPassword,
        examples_dir: context.examplesDir,
        output_dir: layout.outputDir,
        tls: context.tls,
      } satisfies ControlValues;
    },
    onReady: (info) => {
      port = Number(new URL(String(info.url)).port) || port;
      adminPassword = null;
      context.onChange();
    },
  });

  const supervisor = nodeService({
    ...common(context, 'supervisor', null),
    values: async () => {
      const info = await control.whenReady();
      const ticket = randomBytes(32).toString('base64url');
      control.send({ type: 'ticket', ticket, roles: ['worker', 'parse', 'trigger'], place: context.place });
      const ownServer = config.core.execution_api_server_url === null;
      const url = config.core.execution_api_server_url ?? `${String(info.url)}/execution`;
      const caFile = ownServer ? null : config.api.ssl_ca_file;
      const authorities = caFile && readCertificates('ssl_ca_file', caFile);
      return {
        config: configFor(config, 'supervisor'),
        execution_url: url.replace(/\/+$/, ''),
        roles: ['worker', 'parse', 'trigger'],
        join_ticket: ticket,
        work_dir: layout.workDir,
        // Without another address it is this very server, so no other certificate counts.
        server_trust: { pinned: ownServer ? (context.tls?.certificate ?? null) : null, authorities },
      } satisfies SupervisorValues;
    },
  });
  return { tokenService, control, supervisor, controlInfo: control.firstReady };
}

/** What the three specs share. */
function common(
  context: ServiceContext,
  name: 'token-service' | 'control' | 'supervisor',
  account: Account | null,
): Omit<NodeServiceSpec, 'values'> {
  const { config, layout, log, entries } = context;
  const entry = { 'token-service': entries.tokenService, control: entries.control, supervisor: entries.supervisor }[
    name
  ];
  return {
    name,
    log: log.say,
    onDown: context.onDown,
    onReady: context.onChange,
    child: () => ({
      entry,
      env: {
        ...(name === 'supervisor' ? context.workerEnv : {}),
        ...context.env,
        NODE_COMPILE_CACHE: layout.cacheDir(name),
      },
      runAs: account && {
        ...account,
        paths: [
          ...programPaths(),
          { path: layout.home, writable: true },
          { path: layout.cacheDir(name), writable: true },
          ...(name === 'token-service' ? ownKeyFile(config.api_auth.jwt_private_key_path, account) : []),
        ],
      },
      execArgv: [
        '--disable-warning=ExperimentalWarning',
        `--max-old-space-size=${HEAP_MB[name].old}`,
        `--max-semi-space-size=${HEAP_MB[name].young}`,
      ],
      onLine: (line) => log.line(name, line),
    }),
  };
}

/** The operator's key file, also below a folder that the signer can't enter. One that is not its own it will refuse itself. */
function ownKeyFile(path: string | null, account: Account) {
  const isOwn = path !== null && statSync(path, { throwIfNoEntry: false })?.uid === account.uid;
  return isOwn ? [{ path, writable: false }] : [];
}
