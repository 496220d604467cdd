/**
 * Arguments of the Vault back end, with the names and defaults of Airflow's provider. What we do not take is refused at start: an
 * argument that is passed over in silence could be the one that kept something apart.
 */

import { HTTP_URL } from '@airlock/contract/config/rules';
import { isPlainOverNetwork } from '@airlock/contract/config/transport';
import { AppError } from '@airlock/contract/errors';

export type VaultLogin =
  | { readonly type: 'token'; readonly token: SecretText }
  /** A log-in at `auth/<mount>/<path>` with this body. */
  | { readonly type: 'login'; readonly path: string; readonly body: Readonly<Record<string, SecretText>> };

/** A text, or the file that holds it and is read anew at each log-in. */
export type SecretText = { readonly text: string } | { readonly file: string };

export type VaultSettings = {
  /** Without a slash at its end. */
  readonly url: string;
  readonly login: VaultLogin;
  /** Where the secrets engine is mounted; null = the first part of each name says it. */
  readonly mount: string | null;
  readonly kvVersion: 1 | 2;
  /** Below which paths to look, in order; empty = such names are not looked up there. */
  readonly paths: {
    readonly connections: readonly string[];
    readonly variables: readonly string[];
    readonly config: readonly string[];
  };
  /** A team's secrets lie in a folder with its name. */
  readonly teamPaths: boolean;
  readonly namespace: string | null;
  /** File with the certificates that its own is checked by; null = the system's. */
  readonly caFile: string | null;
  /** One look-up, log-in included. */
  readonly deadlineMs: number;
};

const KUBERNETES_JWT = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const DEFAULT_DEADLINE_S = 5;
const MAX_DEADLINE_S = 30;
const AUTH_TYPES = ['token', 'approle', 'kubernetes', 'jwt', 'userpass', 'ldap', 'github'] as const;
const KNOWN = [
  'url',
  'auth_type',
  'auth_mount_point',
  'mount_point',
  'kv_engine_version',
  'connections_path',
  'variables_path',
  'config_path',
  'use_team_secrets_path',
  'global_secrets_path',
  'token',
  'token_path',
  'role_id',
  'secret_id',
  'username',
  'password',
  'kubernetes_role',
  'kubernetes_jwt_path',
  'jwt_role',
  'jwt_token',
  'jwt_token_path',
  'namespace',
  'verify',
  'timeout',
];

function wrong(
  what: string,
  remedy = 'Correct [secrets] backend_kwargs; docs/secrets.md lists its arguments.',
): AppError {
  return new AppError('CONFIG_INVALID', { public: `[secrets] backend_kwargs: ${what}`, remedy });
}

type Arguments = Readonly<Record<string, unknown>>;

/** No value is in any message: each could be the secret. */
function textOf(args: Arguments, name: string): string | null {
  const value = args[name];
  if (value === undefined || value === null || value === '') return null;
  if (typeof value !== 'string') throw wrong(`${name} is not a text.`);
  return value;
}

/** A number or a truth value; a variable that sets a single argument can only hold it as text. */
function typedValue(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const word = value.trim().toLowerCase();
  if (word === 'true' || word === 'false') return word === 'true';
  return /^\d+(?:\.\d+)?$/.test(word) ? Number(word) : value;
}

function required(args: Arguments, name: string, authType: string): string {
  const value = textOf(args, name);
  if (value === null) throw wrong(`auth_type ${authType} needs ${name}.`);
  return value;
}

function secretOf(args: Arguments, text: string, file: string, authType: string): SecretText {
  const given = textOf(args, text);
  if (given !== null) return { text: given };
  const path = textOf(args, file);
  if (path === null) throw wrong(`auth_type ${authType} needs ${text} or ${file}.`);
  return { file: path };
}

function pathsOf(args: Arguments, name: string, fallback: string): string[] {
  const value = args[name] === undefined ? fallback : args[name];
  const extra = textOf(args, 'global_secrets_path');
  const list = value === null ? [] : Array.isArray(value) ? value : [value];
  if (!list.every((path) => typeof path === 'string')) throw wrong(`${name} is neither a text nor a list of texts.`);
  const paths = [...(list as string[]), ...(extra === null ? [] : [extra])].map((path) => path.replace(/\/+$/, ''));
  if (paths.some((path) => path !== '' && !isPlainPath(path))) throw wrong(`${name} is no path.`);
  return paths;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/** Parts that are names, not steps. */
export function isPlainPath(path: string): boolean {
  return !CONTROL_CHARACTER.test(path) && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function loginOf(args: Arguments): VaultLogin {
  const type = textOf(args, 'auth_type') ?? 'token';
  const mount = (textOf(args, 'auth_mount_point') ?? type).replace(/^\/+|\/+$/g, '');
  if (!isPlainPath(mount)) throw wrong('auth_mount_point is no path.');
  const given = (name: string): SecretText => ({ text: required(args, name, type) });
  switch (type) {
    case 'token':
      return { type, token: secretOf(args, 'token', 'token_path', type) };
    case 'github':
      return {
        type: 'login',
        path: `auth/${mount}/login`,
        body: { token: secretOf(args, 'token', 'token_path', type) },
      };
    case 'approle': {
      const secretId = textOf(args, 'secret_id');
      const body = { role_id: given('role_id'), ...(secretId === null ? {} : { secret_id: { text: secretId } }) };
      return { type: 'login', path: `auth/${mount}/login`, body };
    }
    case 'kubernetes': {
      const jwt = { file: textOf(args, 'kubernetes_jwt_path') ?? KUBERNETES_JWT };
      return { type: 'login', path: `auth/${mount}/login`, body: { role: given('kubernetes_role'), jwt } };
    }
    case 'jwt': {
      const jwt = secretOf(args, 'jwt_token', 'jwt_token_path', type);
      return { type: 'login', path: `auth/${mount}/login`, body: { role: given('jwt_role'), jwt } };
    }
    case 'userpass':
    case 'ldap': {
      const user = encodeURIComponent(required(args, 'username', type));
      return { type: 'login', path: `auth/${mount}/login/${user}`, body: { password: given('password') } };
    }
    default:
      throw wrong(`auth_type is none of ${AUTH_TYPES.join(', ')}.`);
  }
}

function addressOf(args: Arguments): string {
  const url = textOf(args, 'url');
  if (url === null) throw wrong('url is missing.', 'Name the address of Vault, such as https://vault.example:8200.');
  if (!HTTP_URL.holds(url)) throw wrong(`url is not ${HTTP_URL.allowed}.`);
  if (isPlainOverNetwork(url))
    throw wrong('url is plain http to another machine, where others on the way read the secrets.', 'Use https there.');
  return url.replace(/\/+$/, '');
}

function caFileOf(args: Arguments): string | null {
  const verify = typedValue(args.verify);
  if (verify === undefined || verify === null || verify === true) return null;
  if (typeof verify === 'string' && verify.startsWith('/')) return verify;
  throw wrong(
    'verify is neither true nor the path of a file of certificates; a server that is not checked is not asked.',
    'Name the file with the certificate of the authority.',
  );
}

function deadlineOf(args: Arguments): number {
  const seconds = typedValue(args.timeout) ?? DEFAULT_DEADLINE_S;
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= MAX_DEADLINE_S))
    throw wrong(`timeout is not a number of seconds up to ${MAX_DEADLINE_S}.`);
  return seconds * 1000;
}

/** Pure. @throws CONFIG_INVALID */
export function vaultSettings(json: string | null): VaultSettings {
  const args = JSON.parse(json ?? '{}') as Arguments;
  const unknown = Object.keys(args).filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) throw wrong(`Airlock takes no ${unknown.map((name) => JSON.stringify(name)).join(', ')}.`);
  const mount = args.mount_point === null ? null : (textOf(args, 'mount_point') ?? 'secret').replace(/^\/+|\/+$/g, '');
  if (mount !== null && !isPlainPath(mount)) throw wrong('mount_point is no path.');
  const version = typedValue(args.kv_engine_version) ?? 2;
  if (version !== 1 && version !== 2) throw wrong('kv_engine_version is neither 1 nor 2.');
  const teamPaths = typedValue(args.use_team_secrets_path) ?? true;
  if (typeof teamPaths !== 'boolean') throw wrong('use_team_secrets_path is neither true nor false.');
  return {
    url: addressOf(args),
    login: loginOf(args),
    mount,
    kvVersion: version,
    paths: {
      connections: pathsOf(args, 'connections_path', 'connections'),
      variables: pathsOf(args, 'variables_path', 'variables'),
      config: pathsOf(args, 'config_path', 'config'),
    },
    teamPaths,
    namespace: textOf(args, 'namespace'),
    caFile: caFileOf(args),
    deadlineMs: deadlineOf(args),
  };
}
