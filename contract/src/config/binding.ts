import { AppError } from '../errors.ts';
import type { Config } from './index.ts';

/** @throws CONFIG_INVALID options that ask for proof of possession, and for callers that can't give it or that nobody vouches for */
export function checkTokenBinding(config: Config): void {
  const required = config.execution_api.token_binding === 'required';
  const queues = config.workers.command_queues;
  if (required && queues.length > 0) {
    throw new AppError('CONFIG_INVALID', {
      public:
        '[execution_api] token_binding is required, but the workers of [workers] command_queues ' +
        `(${queues.join(', ')}) know no proof of possession: nothing in these queues would ever run.`,
      remedy: 'Empty command_queues, or set token_binding to preferred.',
    });
  }
  if (!config.execution_api.airflow_workload_tokens) return;
  if (required) {
    throw new AppError('CONFIG_INVALID', {
      public:
        "[execution_api] token_binding is required, but airflow_workload_tokens asks for tokens that no worker's key is bound to.",
      remedy: 'Set airflow_workload_tokens to False, or token_binding to preferred.',
    });
  }
  if (config.api_auth.trusted_jwks_url === null) {
    throw new AppError('CONFIG_INVALID', {
      public:
        '[execution_api] airflow_workload_tokens is on, but [api_auth] trusted_jwks_url names nobody who may sign them.',
      remedy: 'Set trusted_jwks_url to the public keys of that scheduler, or airflow_workload_tokens to False.',
    });
  }
}
