/**
 * Requests to people. A task asks and reads the answer; only a person gives one, over the REST API. What a task may send
 * itself are the stored defaults, when its time is over. @see execution API 3.14; promise L34
 */
import { isDeepStrictEqual } from 'node:util';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import {
  answerByDefault,
  type HitlRow,
  lockRequestFor,
  putRequestFor,
  readRequestFor,
} from '@airlock/store/queries/hitl/for-try';
import { defaultInput } from '../../../domain/hitl.ts';
import { wireInstant } from '../../http/instant.ts';
import { parseBody } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import type { Handler } from '../context.ts';
import { notEntitled, notFound, TRY_NOT_FOUND } from '../errors.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

const MAX_OPTIONS = 1000;
const MAX_TEXT = 100_000;
const options = z.array(wire.text({ max: 1000 })).max(MAX_OPTIONS);

/** Unknown fields are ignored: the client adds its message type. The id in the path counts, not that in the body. */
const requestBody = z.object({
  ti_id: z.uuid(),
  options: options.min(1),
  subject: wire.text({ max: MAX_TEXT }),
  body: wire.text({ max: MAX_TEXT }).nullish(),
  defaults: options.nullish(),
  multiple: wire.bool().optional(),
  params: wire.object().nullish(),
  assigned_users: z
    .array(z.object({ id: wire.text({ max: 250 }), name: wire.text({ max: 250 }) }))
    .max(1000)
    .nullish(),
});

export const createRequest: Handler = async (context, call) => {
  const body = parseBody(requestBody, call.request);
  const row = await putRequestFor(context.db, callerKey(call), {
    options: body.options,
    subject: body.subject,
    body: body.body ?? null,
    defaults: body.defaults ?? null,
    multiple: body.multiple ?? false,
    params: body.params ?? {},
    assigned_users: body.assigned_users ?? [],
  });
  const live = await requireLive(context, call, row);
  if (!live.stored) throw notFound(TRY_NOT_FOUND);
  const {
    responded_at: _,
    responded_by_id: __,
    responded_by_name: ___,
    chosen_options,
    params_input,
    ...request
  } = live.stored;
  return await answerLive(context, call, live, { status: 201, body: { ti_id: live.id, ...request } });
};

function answerOf(row: HitlRow) {
  const { responded_by_id: id, responded_by_name: name } = row;
  return {
    response_received: row.responded_at !== null,
    responded_by_user: id === null ? null : { id, name: name ?? id },
    responded_at: wireInstant(row.responded_at),
    chosen_options: row.chosen_options ?? [],
    params_input: row.params_input ?? {},
  };
}

const ABSENT =
  'HITLDetail not found. This happens most likely due to clearing task instance before receiving response.';

export const readAnswer: Handler = async (context, call) => {
  const row = await requireLive(context, call, await readRequestFor(context.db, callerKey(call)));
  if (!row.data) throw notFound(ABSENT);
  return await answerLive(context, call, row, { status: 200, body: answerOf(row.data) });
};

const answerBody = z.object({
  chosen_options: options.min(1),
  params_input: wire.object().optional(),
});

export const takeDefaults: Handler = async (context, call) => {
  const { chosen_options: chosen, params_input: input = {} } = parseBody(answerBody, call.request);
  return await context.db.transaction(async (tx) => {
    const key = callerKey(call);
    const row = await requireLive(context, call, await lockRequestFor(tx, key));
    const { request } = row;
    if (!request) throw notFound(ABSENT);
    const same = isDeepStrictEqual(chosen, request.chosen_options) && isDeepStrictEqual(input, request.params_input);
    if (request.responded_at !== null) {
      // The same defaults again: the answer to the first call was lost.
      if (same && request.responded_by_id === null) return { status: 200, body: answerOf(request) };
      const message = `Human-in-the-loop detail for Task Instance with id ${row.id} already exists.`;
      throw new AppError('CONFLICT', { public: message });
    }
    const isDefault = isDeepStrictEqual(chosen, request.defaults) && isPlainDefault(input, request.params);
    if (!request.overdue || !isDefault) throw notEntitled('answers of people');
    await answerByDefault(tx, key, { chosenOptions: chosen, paramsInput: input });
    const answered = { ...request, responded_at: call.nowIso, chosen_options: chosen, params_input: input };
    return { status: 200, body: answerOf(answered) };
  });
};

/** Nothing, or the values that the request itself gives. */
function isPlainDefault(input: object, params: Readonly<Record<string, unknown>>): boolean {
  if (Object.keys(input).length === 0) return true;
  return isDeepStrictEqual(input, defaultInput(params)) || isDeepStrictEqual(input, params);
}
