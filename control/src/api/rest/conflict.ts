/** Airflow's answer when a unique key is taken: an object, not a sentence. */
import { AppError } from '@airlock/contract/errors';
import { errorId } from '../http/errors.ts';

/** @param text what our own log and remedy readers see; the body reveals no statement */
export function uniqueConflict(text: string, cause?: unknown): AppError {
  const id = errorId();
  return new AppError('CONFLICT', {
    public: text,
    remedy: 'Choose another name, or change what is there.',
    internal: { errorId: id },
    cause,
    detail: {
      reason: 'Unique constraint violation',
      statement: 'hidden',
      orig_error: 'hidden',
      message: `Serious error when handling your request. Check logs for more details - you will find it in api server when you look for ID ${id}`,
    },
  });
}
