import { AppError } from '../errors.ts';

/** Audience of workload and execution tokens. Here and not in claims.ts, so that reading options loads no schema library. */
export const TASK_AUDIENCE = 'urn:airflow.apache.org:task';

/**
 * `[execution_api] jwt_audience` is a comma list: the first is written into tokens, all are accepted.
 * @throws CONFIG_INVALID the list is empty
 */
export function taskAudiences(option: string): readonly [string, ...string[]] {
  const [first, ...rest] = option
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (first === undefined)
    throw new AppError('CONFIG_INVALID', { public: '[execution_api] jwt_audience names no audience.' });
  return [first, ...rest];
}
