/**
 * Where a try's connections and variables may come from before the database is looked at. The caller's right was decided
 * before; here a name is looked up, and only what is absent is looked for in the next place.
 * @see docs/decisions/0020-back-ends-of-secrets.md; promise L7
 */
import type { Config } from '@airlock/contract/config/index';
import { isAppError } from '@airlock/contract/errors';
import {
  type EnvironmentSecrets,
  environmentBackend,
  openSecretBackend,
  type SecretSource,
} from '@airlock/secret-backends';
import type { Logger } from 'pino';

export type SecretSources = {
  /** In the order in which they are asked; the database comes after them. */
  readonly list: readonly SecretSource[];
  readonly close: () => void;
};

/** @throws CONFIG_INVALID the arguments of the back end are wrong */
export function openSecretSources(
  config: Pick<Config, 'secrets' | 'core'>,
  environment: EnvironmentSecrets,
  { nowMs, log }: { readonly nowMs: () => number; readonly log: Pick<Logger, 'warn'> },
): SecretSources {
  const { backend, backend_kwargs, use_cache, cache_ttl_seconds } = config.secrets;
  const multiTeam = config.core.multi_team;
  const cacheMs = use_cache ? cache_ttl_seconds * 1000 : 0;
  const outside = openSecretBackend({ backend, backend_kwargs, multiTeam, cacheMs, nowMs });
  const names = Object.keys(environment.connections).length + Object.keys(environment.variables).length;
  return {
    list: [
      ...(outside ? [said(outside, log)] : []),
      ...(names > 0 ? [environmentBackend(environment, multiTeam)] : []),
    ],
    close: () => outside?.close(),
  };
}

/** The same, and a refusal is seen by the operator: it is his policy there that has to change. */
function said(source: SecretSource, log: Pick<Logger, 'warn'>): SecretSource {
  const heard = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      if (isAppError(error, 'SECRETS_REFUSED')) log.warn(error.internal, 'the store of secrets refuses a name');
      throw error;
    }
  };
  return {
    name: source.name,
    connection: (connId, team) => heard(source.connection(connId, team)),
    variable: (key, team) => heard(source.variable(key, team)),
  };
}

/** The first that has it; null = none does. @throws SECRETS_REFUSED, SECRETS_UNAVAILABLE, and then nobody else is asked */
export async function lookUp<T>(
  sources: SecretSources,
  ask: (source: SecretSource) => Promise<T | null>,
): Promise<T | null> {
  for (const source of sources.list) {
    const value = await ask(source);
    if (value !== null) return value;
  }
  return null;
}
