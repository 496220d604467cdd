/**
 * Every refusal of a caller whose token is right has its row in the audit log before its answer leaves. Without the row the
 * caller gets no answer but that of a broken server. @see promise L33
 */
import { isAppError } from '@airlock/contract/errors';
import { insertRefusal } from '@airlock/store/queries/event-log/refusal';
import type { FastifyRequest } from 'fastify';
import { nowIso } from '../http/instant.ts';
import type { ExecutionContext } from './context.ts';

/** The longest path that is kept. */
const MAX_PATH = 500;

/** Who asked, as far as the token says. */
export type Refused = { readonly kind: string; readonly sub: string };

/** Whether this error is a refusal that nobody has written down yet. */
function isUnrecorded(error: unknown): boolean {
  if (!isAppError(error, 'NOT_ENTITLED', 'TOKEN_INVALID', 'TOKEN_SCOPE', 'TI_NOT_SELF')) return false;
  return error.internal.audited !== true;
}

/** Writes the row when `error` is such a refusal. @returns whether it is one */
export async function recordRefusal(
  context: Pick<ExecutionContext, 'db' | 'deps'>,
  request: FastifyRequest,
  who: Refused,
  error: unknown,
): Promise<boolean> {
  if (!isAppError(error) || !isUnrecorded(error)) return false;
  const path = (request.raw.url ?? '').split('?')[0]!.slice(0, MAX_PATH);
  await insertRefusal(context.db, {
    nowIso: nowIso(context.deps.clock.nowMs()),
    sub: who.sub,
    kind: who.kind,
    extra: JSON.stringify({ method: request.method, path, code: error.code, sub: who.sub, refused: true }),
  });
  return true;
}
