/**
 * What a trigger keeps of an asset that it watches for. The asset has to be one that the row of the trigger speaks for; a
 * missing, another team's and any other asset give one answer. @see decision 23
 */
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { getAssetState, putAssetState, removeAssetState } from '@airlock/store/queries/rest-state/asset';
import { MAX_ASSET_STATE_KEYS } from '@airlock/store/queries/state-store/asset';
import { findWatchedAsset } from '@airlock/store/queries/trigger/watch';
import { exactMember } from '../../http/exact-member.ts';
import { parseBody, parseQuery } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import type { Call } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { assetStateBody, stateKey, tooMany, valueText } from './state-stores.ts';
import { forSupervisor } from './supervisors.ts';
import { triggerIdOf } from './triggers.ts';

const nameQuery = z.object({ name: one(wire.text({ min: 1 })) });
const keyQuery = z.object({ key: one(stateKey) });

type Place = { readonly triggerId: number; readonly supervisorId: string; readonly name: string };

function placeOf(call: Call): Place {
  const { name } = parseQuery(nameQuery, call.request);
  return { triggerId: triggerIdOf(call), supervisorId: call.identity.claims.sub, name };
}
const keyOf = (call: Call) => parseQuery(keyQuery, call.request).key;

/** @throws NOT_ENTITLED */
async function assetOf(db: Db, place: Place): Promise<number> {
  const id = await findWatchedAsset(db, place);
  if (id === null) throw notEntitled(`asset ${place.name}`);
  return id;
}

/** One change of what is kept, with its row in the audit log: which key, never the value. */
const change = (event: string, work: (tx: Db, call: Call, assetId: number) => Promise<string | null>) =>
  forSupervisor(async (context, call) => {
    const place = placeOf(call);
    await context.db.transaction(async (tx) => {
      const assetId = await assetOf(tx, place);
      const key = await work(tx, call, assetId);
      const extra = JSON.stringify({ trigger: place.triggerId, name: place.name, key });
      await insertEventLog(tx, { nowIso: call.nowIso, event, owner: 'trigger', extra });
    });
    return { status: 204 };
  });

export const get = forSupervisor(async (context, call) => {
  const place = placeOf(call);
  const key = keyOf(call);
  const row = await getAssetState(context.db, await assetOf(context.db, place), key);
  if (row === null) throw notFound(`Asset state store key '${key}' not found`);
  return { status: 200, text: valueText(row.text) };
});

export const put = change('set_asset_state_store', async (tx, call, assetId) => {
  const key = keyOf(call);
  const { value } = parseBody(assetStateBody, call.request);
  const text = JSON.stringify(exactMember(call.request.bodyText, 'value', value));
  const entry = { key, text, nowIso: call.nowIso, byWatcher: true };
  if (!(await putAssetState(tx, assetId, entry))) throw tooMany('This asset', MAX_ASSET_STATE_KEYS);
  return key;
});

export const remove = change('delete_asset_state_store', async (tx, call, assetId) => {
  const key = keyOf(call);
  await removeAssetState(tx, assetId, key);
  return key;
});

export const clear = change('clear_asset_state_store', async (tx, _call, assetId) => {
  await removeAssetState(tx, assetId, null);
  return null;
});
