import { z } from '@airlock/contract/schema';
import { listVariableKeysFor } from '@airlock/store/queries/token/variable-keys';
import { parseQuery } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import type { Handler } from '../context.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

const keysQuery = z.object({
  prefix: one(wire.text({ max: 250 })).optional(),
  limit: one(wire.int({ ge: 1, le: 10_000 })).optional(),
  offset: one(wire.int({ ge: 0 })).optional(),
});

/** Names of the variables that the try may read; never a name that it may not. @see execution API 3.12; promise L8 */
export const variableKeys: Handler = async (context, call) => {
  const { prefix, limit, offset } = parseQuery(keysQuery, call.request);
  const page = { prefix: prefix ?? null, limit: limit ?? 1000, offset: offset ?? 0 };
  const row = await requireLive(
    context,
    call,
    await listVariableKeysFor(context.db, callerKey(call), page, context.rights),
  );
  return await answerLive(context, call, row, { status: 200, body: row.data });
};
