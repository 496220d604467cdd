/** The edge at which an error becomes an answer of the Execution API. @see execution API 1.5, 2.4 */
import { AppError, ERRORS, type ErrorCode } from '@airlock/contract/errors';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Mapped, mapRestError, markError, sendJson } from '../http/errors.ts';

const AUTH_TEXTS: Partial<Record<ErrorCode, string>> = {
  TOKEN_MISSING: 'Missing auth token',
  TOKEN_EXPIRED: 'Invalid auth token',
  TOKEN_INVALID: 'Invalid auth token',
};

/** 404 of a thing, in the wire's own shape. */
export function notFound(message: string): AppError {
  return new AppError('NOT_FOUND', { public: message, detail: { reason: 'not_found', message } });
}

export const TRY_NOT_FOUND = 'Task Instance not found';

export function tryArchived(): AppError {
  const message = 'Task Instance not found, it may have been moved to the Task Instance History table';
  return new AppError('TI_GONE', { public: message, detail: { reason: 'not_found', message } });
}

/** A callback that has ended or never began, past its limit, or another token of it. @param why for the log */
export function notLiveCallback(why = 'not a live callback'): AppError {
  return new AppError('TOKEN_INVALID', { public: 'Invalid auth token', internal: { why } });
}

/** The one refusal of every name that a try may not use, whether it exists or not. */
export function notEntitled(what: string): AppError {
  const message = `Task does not have access to ${what}`;
  return new AppError('NOT_ENTITLED', { public: message, detail: { reason: 'access_denied', message } });
}

export function invalidState(message: string, previousState: string | null): AppError {
  return new AppError('TI_STATE_CONFLICT', {
    public: message,
    detail: { reason: 'invalid_state', message, previous_state: previousState },
  });
}

/** Error → answer, for the Execution API. */
export function mapExecutionError(error: unknown): Mapped {
  if (!(error instanceof AppError)) return mapRestError(error);
  const mapped = mapRestError(error);
  const text = AUTH_TEXTS[error.code];
  return {
    ...mapped,
    status: ERRORS[error.code].execution,
    body: text === undefined ? mapped.body : { detail: text },
  };
}

/** Sends the answer for `error`. An unexpected one says nothing but the caller's own correlation id. */
export function sendError(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  const mapped = mapExecutionError(error);
  if (mapped.status >= 500) {
    request.log.error({ err: error, errorId: mapped.logId, code: mapped.code }, 'request failed');
    if (mapped.logId) reply.header('airlock-error-id', mapped.logId);
  } else if (error instanceof AppError && Object.keys(error.internal).length > 0) {
    request.log.debug({ code: error.code, ...error.internal }, 'request refused');
  }
  markError(reply, mapped.code, mapped.remedy);
  if (mapped.code === 'PROOF_NONCE') reply.header('www-authenticate', 'DPoP error="use_dpop_nonce"');
  if (mapped.retryAfter !== undefined) reply.header('retry-after', String(mapped.retryAfter));
  if (mapped.status === 413) reply.header('connection', 'close');
  if (mapped.body !== null) return sendJson(reply, mapped.body, mapped.status);
  const correlation = request.headers['correlation-id'];
  reply.removeHeader('airflow-api-version').removeHeader('correlation-id');
  const body = { message: 'Internal server error', ...(correlation ? { 'correlation-id': correlation } : {}) };
  return sendJson(reply, body, mapped.status);
}
