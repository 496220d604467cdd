import { AppError } from '../errors.ts';
import type { Config } from './index.ts';

/** @throws CONFIG_INVALID options that ask for proof of possession, and for workers that can't give it */
export function checkTokenBinding(config: Config): void {
  const queues = config.workers.command_queues;
  if (config.execution_api.token_binding !== 'required' || queues.length === 0) return;
  throw new AppError('CONFIG_INVALID', {
    public:
      '[execution_api] token_binding is required, but the workers of [workers] command_queues ' +
      `(${queues.join(', ')}) know no proof of possession: nothing in these queues would ever run.`,
    remedy: 'Empty command_queues, or set token_binding to preferred.',
  });
}
