/**
 * HashiCorp Vault over its HTTP API: a key/value engine of version 1 or 2, read with a token or after a log-in.
 * @see the HTTP API of Vault: /v1/<mount>/data/<path>, X-Vault-Token; promise L7
 */
import { readFileSync } from 'node:fs';
import { AppError } from '@airlock/contract/errors';
import { type ConnectionFields, connectionFromFields, parseConnection } from './connection-text.ts';
import type { BackendOptions, SecretBackend } from './index.ts';
import { createJsonClient, type JsonAnswer } from './json-client.ts';
import { createMemory } from './memory.ts';
import { isPlainPath, type SecretText, type VaultSettings } from './vault-settings.ts';

type Token = { readonly text: string; readonly sinceMs: number; readonly untilMs: number };
type Fields = Readonly<Record<string, unknown>>;

/** A 403 makes us log in again only with a token older than this: else each refusal would cost a log-in. */
const YOUNG_MS = 30_000;
const MAX_FILE_BYTES = 65_536;
/** Vault's own words for "not just now": not replicated yet, standby, sealed, broken. Tried once more. */
const PASSING = [412, 429, 500, 502, 503, 504];

function unavailable(why: string, cause?: unknown): AppError {
  return new AppError('SECRETS_UNAVAILABLE', {
    public: 'The store of secrets does not answer now.',
    internal: { backend: 'vault', why },
    cause,
  });
}

function refused(path: string): AppError {
  return new AppError('SECRETS_REFUSED', {
    public: 'The store of secrets refuses this name.',
    internal: { backend: 'vault', path },
  });
}

function readSecret(secret: SecretText): string {
  if ('text' in secret) return secret.text;
  try {
    const text = readFileSync(secret.file, 'utf8').trim();
    if (text === '' || text.length > MAX_FILE_BYTES) throw new Error('it is empty or too long');
    return text;
  } catch (cause) {
    throw unavailable(`${secret.file} can't be read`, cause);
  }
}

function fieldsIn(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

/** The names of one path, each encoded, so that no character of a name starts another part or a query. */
const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/');

/** @throws CONFIG_INVALID the file of certificates can't be read */
export function openVault(
  settings: VaultSettings,
  options: Pick<BackendOptions, 'multiTeam' | 'cacheMs' | 'nowMs'>,
): SecretBackend {
  const client = createJsonClient(settings.url, authorities(settings.caFile));
  const { nowMs } = options;
  const base = {
    'x-vault-request': 'true',
    ...(settings.namespace === null ? {} : { 'x-vault-namespace': settings.namespace }),
  };
  let token: Token | null = null;
  let loggingIn: Promise<Token> | null = null;

  const call = async (
    method: 'GET' | 'POST',
    path: string,
    signal: AbortSignal,
    more: { body?: unknown; token?: string } = {},
  ) => {
    const headers = { ...base, ...(more.token === undefined ? {} : { 'x-vault-token': more.token }) };
    const once = () => client.call(method, `/v1/${path}`, { headers, signal, body: more.body });
    try {
      const answer = await once();
      return PASSING.includes(answer.status) ? await once() : answer;
    } catch (error) {
      if (signal.aborted) throw unavailable('it took too long', error);
      // A connection that was kept open may have been closed from there; a read is safe to repeat.
      return await once().catch((again: unknown) => {
        throw unavailable(signal.aborted ? 'it took too long' : (again as Error).message, again);
      });
    }
  };

  const logIn = async (signal: AbortSignal): Promise<Token> => {
    const { login } = settings;
    const sinceMs = nowMs();
    if (login.type === 'token') return { text: readSecret(login.token), sinceMs, untilMs: Number.POSITIVE_INFINITY };
    const body = Object.fromEntries(Object.entries(login.body).map(([name, secret]) => [name, readSecret(secret)]));
    const answer = await call('POST', login.path, signal, { body });
    const auth = fieldsIn(fieldsIn(answer.body)?.auth);
    if (answer.status !== 200 || typeof auth?.client_token !== 'string')
      throw unavailable(`the log-in at ${login.path.split('/login')[0]} was answered ${answer.status}`);
    const seconds = typeof auth.lease_duration === 'number' ? auth.lease_duration : 0;
    // A lease of 0 does not end.
    const untilMs = seconds > 0 ? sinceMs + seconds * 666 : Number.POSITIVE_INFINITY;
    return { text: auth.client_token, sinceMs, untilMs };
  };
  const currentToken = async (): Promise<Token> => {
    if (token !== null && nowMs() < token.untilMs) return token;
    // Shared by all who wait, so not on the deadline of one of them.
    loggingIn ??= logIn(AbortSignal.timeout(settings.deadlineMs))
      .then((fresh) => {
        token = fresh;
        return fresh;
      })
      .finally(() => {
        loggingIn = null;
      });
    return await loggingIn;
  };

  /** @returns what is kept at this path; null = nothing is */
  const read = async (mount: string, path: string): Promise<Fields | null> => {
    const signal = AbortSignal.timeout(settings.deadlineMs);
    const place = `${encodePath(mount)}${settings.kvVersion === 2 ? '/data' : ''}/${encodePath(path)}`;
    const used = await currentToken();
    let answer: JsonAnswer = await call('GET', place, signal, { token: used.text });
    if (answer.status === 403 && nowMs() - used.sinceMs >= YOUNG_MS) {
      // Vault answers the same for a token that ended and for a path that this one may not read.
      if (token === used) token = null;
      answer = await call('GET', place, signal, { token: (await currentToken()).text });
    }
    if (answer.status === 404) return null;
    if (answer.status === 403) throw refused(`${mount}/${path}`);
    const data = fieldsIn(fieldsIn(answer.body)?.data);
    const fields = settings.kvVersion === 2 ? fieldsIn(data?.data) : data;
    if (answer.status !== 200 || fields === null) throw unavailable(`it answered ${answer.status}`);
    return fields;
  };

  /** Tries the paths in order; a name that Vault can't hold is absent. */
  const find = async (paths: readonly string[], name: string, team: string | null): Promise<Fields | null> => {
    if (!isPlainPath(name)) return null;
    const cut = settings.mount === null ? name.indexOf('/') : -1;
    if (settings.mount === null && cut < 1) return null;
    const mount = settings.mount ?? name.slice(0, cut);
    const rest = name.slice(cut + 1);
    const inTeam = options.multiTeam && settings.teamPaths;
    // Without a team, a name with a slash would reach into the folder of one.
    if (inTeam && team === null && rest.includes('/')) return null;
    for (const path of paths) {
      const parts = [path, inTeam ? (team ?? '') : '', rest];
      const fields = await read(mount, parts.filter((part) => part !== '').join('/'));
      if (fields !== null) return fields;
    }
    return null;
  };

  const textIn = (fields: Fields | null): string | null => {
    if (fields === null || fields.value === undefined || fields.value === null) return null;
    return typeof fields.value === 'string' ? fields.value : JSON.stringify(fields.value);
  };
  const memory = createMemory(options);
  return {
    name: 'vault',
    connection: (connId, team) =>
      memory.get<ConnectionFields>(['connection', team, connId], async () => {
        const fields = await find(settings.paths.connections, connId, team);
        if (fields === null) return null;
        const uri = fields.conn_uri;
        try {
          return typeof uri === 'string' && uri !== '' ? parseConnection(uri) : connectionFromFields(fields);
        } catch (error) {
          throw unavailable(`the connection ${connId} is not written as one: ${(error as Error).message}`);
        }
      }),
    variable: (key, team) =>
      memory.get<string>(['variable', team, key], async () => textIn(await find(settings.paths.variables, key, team))),
    config: async (key) => textIn(await find(settings.paths.config, key, null)),
    close: () => client.close(),
  };
}

function authorities(file: string | null): string | undefined {
  if (file === null) return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const public_ = `[secrets] backend_kwargs: verify names ${file}, which can't be read (${(cause as NodeJS.ErrnoException).code}).`;
    throw new AppError('CONFIG_INVALID', { public: public_, cause });
  }
}
