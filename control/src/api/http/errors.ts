/**
 * The edge at which an error becomes an answer of the REST API. Bodies are Airflow's; our stable code and remedy ride beside
 * them in `Airlock-Error` and `Airlock-Remedy`. What an error knows besides goes to the log only.
 */
import { AppError, ERRORS, type ErrorCode } from '@airlock/contract/errors';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Content type of every JSON answer: without a charset, since airflowctl compares it literally. */
export const JSON_TYPE = 'application/json';

/** Sends `value` as compact JSON. A buffer, because the framework would add a charset to a string. */
export function sendJson(reply: FastifyReply, value: unknown, status = 200): FastifyReply {
  return reply
    .code(status)
    .header('content-type', JSON_TYPE)
    .send(Buffer.from(JSON.stringify(value)));
}

/** Headers are ASCII; a remedy that holds more (a file name of a user) loses it. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 500);
}

/** Marks an answer with our code and remedy. */
export function markError(reply: FastifyReply, code: ErrorCode, remedy: string = ERRORS[code].remedy): FastifyReply {
  return reply.header('airlock-error', code).header('airlock-remedy', headerText(remedy));
}

/** Eight letters and digits that the log shows beside the error. */
export function errorId(random: () => number = Math.random): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length: 8 }, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
}

/** Airflow's body for what the database refused; reveals no statement. */
function databaseBody(reason: string, id: string): { readonly detail: unknown } {
  return {
    detail: {
      reason,
      statement: 'hidden',
      orig_error: 'hidden',
      message: `Serious error when handling your request. Check logs for more details - you will find it in api server when you look for ID ${id}`,
    },
  };
}

/** Airflow's answer when a unique key is taken. @param text what our own log and remedy readers see */
export function uniqueViolation(text: string, cause?: unknown): AppError {
  const id = errorId();
  return new AppError('CONFLICT', {
    public: text,
    remedy: 'Choose another name, or change what is there.',
    internal: { errorId: id },
    cause,
    detail: databaseBody('Unique constraint violation', id).detail,
  });
}

export type Mapped = {
  readonly status: number;
  readonly body: unknown;
  readonly code: ErrorCode;
  readonly remedy?: string;
  readonly retryAfter?: number;
  /** Set when the failure is ours or the database's, and the log should hold it under this id. */
  readonly logId?: string;
};

function sqlState(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null;
}

/** The framework's own refusals, by its code. */
function fromFramework(error: unknown): Mapped | null {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string' || !code.startsWith('FST_ERR')) return null;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return { status: 413, body: { detail: 'Request body is too large' }, code: 'BODY_TOO_LARGE' };
  }
  if (code === 'FST_ERR_CTP_INVALID_CONTENT_LENGTH') {
    return { status: 400, body: { detail: 'There was an error parsing the body' }, code: 'BAD_REQUEST' };
  }
  if (code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_ASYNC_CONSTRAINT') {
    return { status: 404, body: { error: 'API route not found' }, code: 'NOT_FOUND' };
  }
  const status = (error as { statusCode?: unknown }).statusCode;
  if (status === 415) return { status, body: { detail: 'Unsupported content type' }, code: 'UNSUPPORTED_MEDIA_TYPE' };
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return { status: 400, body: { detail: 'There was an error parsing the request' }, code: 'BAD_REQUEST' };
  }
  return null;
}

/** Error → answer, for the REST API. Pure but for the id. */
export function mapRestError(error: unknown): Mapped {
  if (error instanceof AppError) {
    const status = ERRORS[error.code].rest;
    const retryAfter = error.internal.retryAfterSeconds;
    const mapped = { status, body: { detail: error.detail ?? error.message }, code: error.code, remedy: error.remedy };
    if (error.code === 'INTERNAL') return { ...mapped, logId: errorId() };
    if (typeof error.internal.errorId === 'string') return { ...mapped, logId: error.internal.errorId };
    return typeof retryAfter === 'number' ? { ...mapped, retryAfter } : mapped;
  }
  const framework = fromFramework(error);
  if (framework) return framework;
  const state = sqlState(error);
  const id = errorId();
  if (state === '23505') {
    return { status: 409, body: databaseBody('Unique constraint violation', id), code: 'CONFLICT', logId: id };
  }
  // What it refers to was removed at the same moment.
  if (state === '23503') {
    return { status: 409, body: databaseBody('Foreign key constraint violation', id), code: 'CONFLICT', logId: id };
  }
  // 22: data exception (a NUL in a text, a number out of range); 23514, 23502: a CHECK or NOT NULL of ours said no.
  if (state?.startsWith('22') || state === '23514' || state === '23502') {
    return { status: 422, body: databaseBody('Value rejected by database', id), code: 'VALIDATION', logId: id };
  }
  // Deadlock or serialization failure: nothing happened, and a repeat will go through.
  if (state?.startsWith('40')) {
    return { status: 503, body: { detail: 'The database is busy.' }, code: 'DB_UNAVAILABLE', logId: id };
  }
  if (state) return { status: 500, body: databaseBody('Database error', id), code: 'INTERNAL', logId: id };
  return { status: 500, body: null, code: 'INTERNAL', logId: id };
}

/** Sends the answer for `error`; unexpected ones are plain text, as Airflow's are. */
export function sendMapped(request: FastifyRequest, reply: FastifyReply, error: unknown, mapped: Mapped): FastifyReply {
  if (mapped.logId && mapped.status >= 500) {
    request.log.error({ err: error, errorId: mapped.logId, code: mapped.code }, 'request failed');
    reply.header('airlock-error-id', mapped.logId);
  } else if (mapped.logId) request.log.info({ err: error, errorId: mapped.logId }, 'a request was refused');
  else if (mapped.status >= 500) request.log.warn({ err: error, code: mapped.code }, 'request failed');
  markError(reply, mapped.code, mapped.remedy);
  if (mapped.retryAfter !== undefined) reply.header('retry-after', String(mapped.retryAfter));
  if (mapped.status === 413) reply.header('connection', 'close');
  if (mapped.body === null) {
    return reply.code(mapped.status).header('content-type', 'text/plain; charset=utf-8').send('Internal Server Error');
  }
  return sendJson(reply, mapped.body, mapped.status);
}
