/**
 * What each process is given as `values` of its first message (contract/src/ipc/handover.ts), and how it takes the options
 * out of it. A process is handed only the options whose rows name its kind as a reader.
 */
import { type Config, SECTIONS } from './index.ts';
import type { OptionRow, ProcessKind } from './options.ts';
import { HIDDEN } from './resolve.ts';

/** Options by section and key, as JSON. */
export type HandedConfig = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Options by section and key, as text; a secret that is set is hidden, and one that is not is empty. */
export type ShownConfig = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Values of `token-service`. It reads and writes below `keys_dir` and listens on `socket_path`, nothing else. */
export type TokenServiceValues = {
  readonly config: HandedConfig;
  readonly keys_dir: string;
  readonly socket_path: string;
  /** True only from standalone: make a signing key when there is none. Elsewhere a missing key refuses the start. */
  readonly generate: boolean;
  /**
   * User ids every process of which may ask, for a service that no starter watches. Absent or empty under standalone, which
   * names one process at a time by the message `peer`.
   */
  readonly peer_uids?: readonly number[];
};
/** Values of `control`. */
export type ControlValues = {
  readonly config: HandedConfig;
  /** What the API shows of every option, whoever reads it. */
  readonly shown_config: ShownConfig;
  /** As the role `airlock_control`, or whatever role the operator's own address names. */
  readonly database_url: string;
  readonly token_socket: string;
  /** Encrypts connections and variables at rest: base64url of 32 bytes each, separated by commas, first one encrypts. */
  readonly fernet_key: string;
  /** Connections and variables of the operator's environment, by their names without prefix. */
  readonly environment_secrets: {
    readonly connections: Readonly<Record<string, string>>;
    readonly variables: Readonly<Record<string, string>>;
  };
  /** Which parts run in this process. */
  readonly roles: ReadonlyArray<'api' | 'scheduler'>;
  /** The socket of operator commands, or null for none. */
  readonly control_socket: string | null;
  /** User ids besides its own and 0 that may use it. */
  readonly operator_uids: readonly number[];
  /**
   * Password of the user `admin`, which is made when no account exists; null = make it without one.
   * `ready` answers in `info.admin_created` whether this start made it.
   */
  readonly admin_password: string | null;
  /** Folder of the shipped examples, a bundle of its own; null = none are shown. */
  readonly examples_dir: string | null;
  /** `$AIRLOCK_HOME/output`, the path of the example's connection. */
  readonly output_dir: string;
  /** PEM texts; null = plain http. */
  readonly tls: { readonly certificate: string; readonly key: string } | null;
};
/** `info` of control's `ready`. */
export type ControlReadyInfo = { readonly url: string; readonly admin_created: boolean };
/** How the certificate of the API server is checked; both null = by the public authorities and its name. */
export type ServerTrust = {
  /** PEM: this certificate and no other, whatever name it bears. */
  readonly pinned: string | null;
  /** PEM: by these authorities, and by its name. */
  readonly authorities: string | null;
};
/** Values of `supervisor`. */
export type SupervisorValues = {
  readonly config: HandedConfig;
  /** Base of the Execution API without a slash at the end, such as http://127.0.0.1:8080/execution . */
  readonly execution_url: string;
  readonly roles: ReadonlyArray<'worker' | 'parse' | 'trigger'>;
  /** One use; told to control just before. */
  readonly join_ticket: string;
  /** A folder of its own (0700) for work folders of tries. */
  readonly work_dir: string;
  readonly server_trust: ServerTrust;
};

/** Values of `migrate`, the process of `store`. */
export type MigrateValues = {
  /** Address of a role that may create tables. */
  readonly url: string;
  /** Made first when it does not exist, over this connection; null = it exists. */
  readonly create_database: { readonly url: string; readonly name: string } | null;
  /** Roles to make, or to give this password. */
  readonly role_passwords: Readonly<Record<string, string>>;
};

/** The value of an option as people read it. Pure. */
export function shownValue(value: unknown, row: OptionRow<unknown>): string {
  if (value === null || value === '') return '';
  if (row.sensitive) return HIDDEN;
  return Array.isArray(value) ? value.join(', ') : row.kind === 'bool' ? (value ? 'True' : 'False') : String(value);
}

/** Everything that may be shown of `config`. Pure. */
export function shownConfig(config: Config): ShownConfig {
  const shown: Record<string, Record<string, string>> = {};
  for (const [section, table] of Object.entries(SECTIONS)) {
    const values = (config as unknown as HandedConfig)[section]!;
    shown[section] = {};
    for (const [key, row] of Object.entries(table) as Array<[string, OptionRow<unknown>]>)
      shown[section][key] = shownValue(values[key], row);
  }
  return shown;
}

/** The part of `config` that a process of `kind` may read. */
export function configFor(config: Config, kind: ProcessKind): HandedConfig {
  const handed: Record<string, Record<string, unknown>> = {};
  for (const [section, table] of Object.entries(SECTIONS)) {
    for (const [key, row] of Object.entries(table) as Array<[string, OptionRow<unknown>]>) {
      if (!row.readers.includes(kind)) continue;
      handed[section] ??= {};
      handed[section][key] = (config as unknown as HandedConfig)[section]![key];
    }
  }
  return handed;
}

/**
 * The handed options as a `Config`. An option that was not handed throws when it is read: its row must name the process as a
 * reader first, which is a line that a reviewer sees.
 */
export function adoptConfig(handed: HandedConfig): Config {
  const config: Record<string, Record<string, unknown>> = {};
  for (const [section, table] of Object.entries(SECTIONS)) {
    const values: Record<string, unknown> = {};
    for (const key of Object.keys(table)) {
      if (Object.hasOwn(handed[section] ?? {}, key)) values[key] = handed[section]![key];
      else {
        Object.defineProperty(values, key, {
          get: () => {
            throw new TypeError(`This process is no reader of [${section}] ${key}.`);
          },
        });
      }
    }
    config[section] = values;
  }
  return config as Config;
}
