/** `Accept`, tested by prefix as the reference does. @see rest-api 1.11 */
import { AppError } from '@airlock/contract/errors';

/** @returns `json` or `other`; absent and the wildcard mean JSON. @throws NOT_ACCEPTABLE */
export function negotiate(accept: string | undefined, other: string): 'json' | 'other' {
  const wanted = (accept ?? '*/*').trim().toLowerCase();
  if (wanted === '' || wanted.startsWith('*/*') || wanted.startsWith('application/json')) return 'json';
  if (wanted.startsWith(other)) return 'other';
  throw new AppError('NOT_ACCEPTABLE', { public: `Only application/json or ${other} is supported` });
}
