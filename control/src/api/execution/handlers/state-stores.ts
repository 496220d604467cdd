/** What a task instance and an asset keep. @see execution API 3.15; promise L6 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import {
  type AssetPlace,
  deleteAssetState,
  MAX_ASSET_STATE_KEYS,
  putAssetState,
  readAssetState,
} from '@airlock/store/queries/state-store/asset';
import {
  deleteTaskState,
  MAX_TASK_STATE_KEYS,
  putTaskState,
  readTaskState,
} from '@airlock/store/queries/state-store/task';
import { check, parseBody, parseQuery, wireIssue } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import { requireAssets } from '../asset-rights.ts';
import type { Call, Handler } from '../context.ts';
import { notFound } from '../errors.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

export const stateKey = wire.text({ min: 1, max: 512 });
const value = z.unknown().transform((given, ctx) => {
  if (given === undefined) return wireIssue(ctx, { type: 'missing', msg: 'Field required' });
  if (given !== null) return given;
  return wireIssue(ctx, { type: 'value_error', msg: 'Value error, value cannot be null', ctx: { error: {} } });
});

/** The value is kept as the text in which it came: numbers have all their digits. */
export const valueText = (text: string) => `{"value":${text}}`;

export function tooMany(whose: string, most: number): AppError {
  const message = `${whose} has ${most} keys, as many as it may have; delete some first`;
  return new AppError('BAD_REQUEST', { public: message, detail: { reason: 'too_many_keys', message } });
}

const taskKey = (call: Call) => check(z.object({ key: stateKey }), { key: call.params['*'] ?? '' }, ['path']).key;

export const getTaskState: Handler = async (context, call) => {
  const key = taskKey(call);
  const row = await requireLive(context, call, await readTaskState(context.db, callerKey(call), key));
  if (!row.data) throw notFound(`Task state store key '${key}' not found`);
  return await answerLive(context, call, row, { status: 200, text: valueText(row.data.text) });
};

const taskStateBody = z.strictObject({ value, expires_at: wire.instant().nullish() });

export const putTask: Handler = async (context, call) => {
  const name = taskKey(call);
  const body = parseBody(taskStateBody, call.request);
  const entry = { name, bodyJson: call.request.bodyText ?? '{}', expiresAt: body.expires_at ?? null };
  const row = await requireLive(context, call, await putTaskState(context.db, callerKey(call), entry));
  if (!row.stored) throw tooMany('This task instance', MAX_TASK_STATE_KEYS);
  return await answerLive(context, call, row, { status: 204 });
};

const removeTaskState =
  (nameOf: (call: Call) => string | null): Handler =>
  async (context, call) => {
    const row = await requireLive(context, call, await deleteTaskState(context.db, callerKey(call), nameOf(call)));
    return await answerLive(context, call, row, { status: 204 });
  };
export const deleteTask: Handler = removeTaskState(taskKey);
export const clearTask: Handler = removeTaskState(() => null);

/** By which of the two the route names its asset. */
type By = 'name' | 'uri';
const queries = {
  name: z.object({ name: one(wire.text({ min: 1 })) }),
  uri: z.object({ uri: one(wire.text({ min: 1 })) }),
};
const keyQuery = z.object({ key: one(stateKey) });

function placeOf(call: Call, by: By): AssetPlace {
  if (by === 'name') return { name: parseQuery(queries.name, call.request).name, uri: null };
  return { name: null, uri: parseQuery(queries.uri, call.request).uri };
}

const absent = (place: AssetPlace): AppError =>
  notFound(
    place.name !== null ? `Asset with name='${place.name}' not found` : `Asset with uri='${place.uri}' not found`,
  );

export const getAssetState = (by: By): Handler => {
  return async (context, call) => {
    const place = placeOf(call, by);
    const { key } = parseQuery(keyQuery, call.request);
    await requireAssets(context, call, [place], 'read');
    const found = await readAssetState(context.db, callerKey(call), { ...place, key }, context.rights.multiTeam);
    const row = await requireLive(context, call, found);
    if (!row.data) throw absent(place);
    if (row.data.text === null) throw notFound(`Asset state store key '${key}' not found`);
    return await answerLive(context, call, row, { status: 200, text: valueText(row.data.text) });
  };
};

export const assetStateBody = z.strictObject({ value });

export const putAsset = (by: By): Handler => {
  return async (context, call) => {
    const place = placeOf(call, by);
    const { key } = parseQuery(keyQuery, call.request);
    parseBody(assetStateBody, call.request);
    await requireAssets(context, call, [place], 'write');
    const entry = { ...place, key, bodyJson: call.request.bodyText ?? '{}' };
    const written = await putAssetState(context.db, callerKey(call), entry, context.rights.multiTeam);
    const row = await requireLive(context, call, written);
    if (!row.found) throw absent(place);
    if (!row.stored) throw tooMany('This asset', MAX_ASSET_STATE_KEYS);
    return await answerLive(context, call, row, { status: 204 });
  };
};

const removeAssetState = (by: By, keyOf: (call: Call) => string | null): Handler => {
  return async (context, call) => {
    const place = placeOf(call, by);
    const key = keyOf(call);
    await requireAssets(context, call, [place], 'write');
    const gone = await deleteAssetState(context.db, callerKey(call), { ...place, key }, context.rights.multiTeam);
    const row = await requireLive(context, call, gone);
    if (!row.found) throw absent(place);
    return await answerLive(context, call, row, { status: 204 });
  };
};
export const deleteAsset = (by: By): Handler => removeAssetState(by, (call) => parseQuery(keyQuery, call.request).key);
export const clearAsset = (by: By): Handler => removeAssetState(by, () => null);
