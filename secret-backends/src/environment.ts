/**
 * Connections and variables in the environment: `AIRFLOW_CONN_<ID>` and `AIRFLOW_VAR_<KEY>`, of a team
 * `AIRFLOW_CONN__<TEAM>___<ID>`. Whoever starts a process reads its environment once and hands over what is in here.
 */
import { AppError } from '@airlock/contract/errors';
import { parseConnection } from './connection-text.ts';
import type { SecretSource } from './index.ts';

/** Names without prefix, as they stand in the environment, upper case. */
export type EnvironmentSecrets = {
  readonly connections: Readonly<Record<string, string>>;
  readonly variables: Readonly<Record<string, string>>;
};

const PREFIXES = { connections: 'AIRFLOW_CONN_', variables: 'AIRFLOW_VAR_' } as const;

/** What of an environment is meant for look-ups. Pure. */
export function environmentSecrets(env: Readonly<Record<string, string | undefined>>): EnvironmentSecrets {
  const found = { connections: {} as Record<string, string>, variables: {} as Record<string, string> };
  for (const [name, value] of Object.entries(env)) {
    for (const kind of ['connections', 'variables'] as const) {
      const prefix = PREFIXES[kind];
      if (value !== undefined && name.startsWith(prefix) && name.length > prefix.length)
        found[kind][name.slice(prefix.length)] = value;
    }
  }
  return found;
}

/** An empty text counts as not set, for connections as for variables. */
export function environmentBackend(secrets: EnvironmentSecrets, multiTeam: boolean): SecretSource {
  const find = (kind: keyof EnvironmentSecrets, name: string, team: string | null): string | null => {
    // The three underscores are what tells a team's name from an id: such an id could be another team's.
    if (multiTeam && name.includes('___')) return null;
    const get = (id: string) =>
      Object.hasOwn(secrets[kind], id.toUpperCase()) ? secrets[kind][id.toUpperCase()] : undefined;
    const own = multiTeam && team !== null ? get(`_${team}___${name}`) : undefined;
    return own || get(name) || null;
  };
  return {
    name: 'environment',
    connection: async (connId, team) => {
      const text = find('connections', connId, team);
      if (text === null) return null;
      try {
        return parseConnection(text);
      } catch (error) {
        throw new AppError('SECRETS_UNAVAILABLE', {
          public: 'The store of secrets does not answer now.',
          internal: {
            backend: 'environment',
            why: `the connection ${connId} is not written as one: ${(error as Error).message}`,
          },
        });
      }
    },
    variable: async (key, team) => find('variables', key, team),
  };
}
