/**
 * Every option of Airlock: Airflow's names and meanings where it has them, and ours. One table per section.
 * @see docs/configuration.md, generated from these tables
 */
import { API_OPTIONS } from './api.ts';
import { API_AUTH_OPTIONS } from './api-auth.ts';
import { CALLBACKS_OPTIONS } from './callbacks.ts';
import { CORE_OPTIONS } from './core.ts';
import { DAG_PROCESSOR_OPTIONS } from './dag-processor.ts';
import { DATABASE_OPTIONS } from './database.ts';
import { EXECUTION_API_OPTIONS } from './execution-api.ts';
import { LOGGING_OPTIONS } from './logging.ts';
import { OIDC_OPTIONS } from './oidc.ts';
import type { OptionTable, ValueOf } from './options.ts';
import { PYTHON_OPTIONS } from './python.ts';
import { type ConfigSources, type ResolvedOption, resolveAll } from './resolve.ts';
import { RETENTION_OPTIONS } from './retention.ts';
import { SANDBOX_OPTIONS } from './sandbox.ts';
import { SCHEDULER_OPTIONS } from './scheduler.ts';
import { SECRETS_OPTIONS } from './secrets.ts';
import { STATE_STORE_OPTIONS } from './state-store.ts';
import { TRIGGERER_OPTIONS } from './triggerer.ts';
import { WORKERS_OPTIONS } from './workers.ts';

export const SECTIONS = {
  core: CORE_OPTIONS,
  api: API_OPTIONS,
  api_auth: API_AUTH_OPTIONS,
  oidc: OIDC_OPTIONS,
  execution_api: EXECUTION_API_OPTIONS,
  database: DATABASE_OPTIONS,
  scheduler: SCHEDULER_OPTIONS,
  dag_processor: DAG_PROCESSOR_OPTIONS,
  triggerer: TRIGGERER_OPTIONS,
  workers: WORKERS_OPTIONS,
  callbacks: CALLBACKS_OPTIONS,
  python: PYTHON_OPTIONS,
  sandbox: SANDBOX_OPTIONS,
  logging: LOGGING_OPTIONS,
  retention: RETENTION_OPTIONS,
  secrets: SECRETS_OPTIONS,
  state_store: STATE_STORE_OPTIONS,
} as const satisfies Record<string, OptionTable>;

export type SectionName = keyof typeof SECTIONS;
/** All values, read only: `config.api.port`. Durations are in the unit that the option's row names. */
export type Config = {
  readonly [S in SectionName]: { readonly [K in keyof (typeof SECTIONS)[S]]: ValueOf<(typeof SECTIONS)[S][K]> };
};

/** The values of resolved options. Pure. */
export function configOf(options: readonly ResolvedOption[]): Config {
  const config: Record<string, Record<string, unknown>> = {};
  for (const { section, key, value } of options) {
    config[section] ??= {};
    config[section][key] = value;
  }
  return config as Config;
}

/**
 * The values of every option. Pure: environment, file and everything else that could be looked up come as arguments.
 * First hit wins: `AIRLOCK__S__K`, `AIRFLOW__S__K`, the same with `_CMD` (sensitive options), the file's `key`, its `key_cmd`,
 * the default; at each level an older name comes right after the new one.
 * @throws CONFIG_INVALID naming each option that is wrong
 */
export function resolveConfig(sources: ConfigSources): Config {
  return configOf(resolveAll(SECTIONS, sources));
}
