/** Assets and their events. @see execution API 3.13 */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';
import { z } from '@airlock/contract/schema';
import {
  type AssetEventFacts,
  listAssetEventsFor,
  readAssetFor,
  readAssetsOfAliasFor,
} from '@airlock/store/queries/asset/for-try';
import { wireInstant } from '../../http/instant.ts';
import { parseQuery } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import { requireAssets } from '../asset-rights.ts';
import type { Call, ExecutionContext, Handler } from '../context.ts';
import { notFound } from '../errors.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

/** More events than this are not sent in one answer. */
const MAX_EVENTS = 10_000;

async function getAsset(
  context: ExecutionContext,
  call: Call,
  which: { readonly name: string | null; readonly uri: string | null },
  absent: string,
) {
  await requireAssets(context, call, [which], 'read');
  const row = await requireLive(
    context,
    call,
    await readAssetFor(context.db, callerKey(call), which, context.rights.multiTeam),
  );
  if (!row.data) throw notFound(absent);
  return await answerLive(context, call, row, { status: 200, body: row.data });
}

const nameQuery = z.object({ name: one(wire.text()) });
const uriQuery = z.object({ uri: one(wire.text()) });

export const assetByName: Handler = async (context, call) => {
  const { name } = parseQuery(nameQuery, call.request);
  return await getAsset(context, call, { name, uri: null }, `Asset with name ${name} not found`);
};

export const assetByUri: Handler = async (context, call) => {
  const { uri } = parseQuery(uriQuery, call.request);
  return await getAsset(context, call, { name: null, uri }, `Asset with URI ${uri} not found`);
};

const aliasQuery = z.object({ alias_name: one(wire.text()) });

export const assetsByAlias: Handler = async (context, call) => {
  const { alias_name: alias } = parseQuery(aliasQuery, call.request);
  await requireAssets(context, call, [{ alias }], 'read');
  const row = await requireLive(
    context,
    call,
    await readAssetsOfAliasFor(context.db, callerKey(call), alias, context.rights.multiTeam),
  );
  return await answerLive(context, call, row, { status: 200, body: row.data ?? [] });
};

/** The client writes nothing for what it does not ask, so an empty value is an absent one. */
const orNothing = <T extends z.ZodType>(inner: T) =>
  z.preprocess((value) => (value === '' ? undefined : value), inner.optional());
const span = {
  after: orNothing(one(wire.instant())),
  before: orNothing(one(wire.instant())),
  ascending: orNothing(one(wire.bool())),
  limit: orNothing(one(wire.int({ ge: 0 }))),
};
const byAssetQuery = z.object({ name: one(wire.text()), uri: one(wire.text()), ...span });
const byAliasQuery = z.object({ name: one(wire.text()), ...span });
type Span = Pick<z.output<typeof byAliasQuery>, keyof typeof span>;

async function answerEvents(
  context: ExecutionContext,
  call: Call,
  which: { readonly asset: { name: string | null; uri: string | null } | null; readonly alias: string | null },
  query: Span,
) {
  const asked = query.limit || null;
  const filter = {
    ...which,
    after: query.after ?? null,
    before: query.before ?? null,
    ascending: query.ascending ?? true,
    limit: Math.min(asked ?? MAX_EVENTS + 1, MAX_EVENTS + 1),
  };
  const row = await requireLive(
    context,
    call,
    await listAssetEventsFor(context.db, callerKey(call), filter, context.rights.multiTeam),
  );
  const events = row.data ?? [];
  // A part of the answer would look like the whole.
  if (events.length > MAX_EVENTS) {
    const message = `There are more than ${MAX_EVENTS} events; ask for fewer with limit, after or before`;
    throw new AppError('BAD_REQUEST', { public: message, detail: { reason: 'too_many_events', message } });
  }
  const body = { asset_events: events.map(shownEvent) };
  return await answerLive(context, call, row, {
    status: 200,
    shape: 'assetEvents',
    body,
    rows: events.length,
  });
}

function shownEvent(event: AssetEventFacts) {
  return {
    ...event,
    extra: parseExact(event.extra),
    timestamp: wireInstant(event.timestamp),
    // Clients ask for a start; a run that has none yet is shown with the earliest that it may have.
    created_dagruns: event.created_dagruns.map(({ run_after: runAfter, ...run }) => ({
      ...run,
      logical_date: wireInstant(run.logical_date),
      start_date: wireInstant(run.start_date ?? runAfter),
      end_date: wireInstant(run.end_date),
      data_interval_start: wireInstant(run.data_interval_start),
      data_interval_end: wireInstant(run.data_interval_end),
    })),
  };
}

export const eventsByAsset: Handler = async (context, call) => {
  const query = parseQuery(byAssetQuery, call.request);
  const asset = { name: query.name || null, uri: query.uri || null };
  if (asset.name === null && asset.uri === null) {
    const message = 'name and uri cannot both be None';
    throw new AppError('BAD_REQUEST', { public: message, detail: { reason: 'Missing parameter', message } });
  }
  await requireAssets(context, call, [asset], 'read');
  return await answerEvents(context, call, { asset, alias: null }, query);
};

export const eventsByAlias: Handler = async (context, call) => {
  const query = parseQuery(byAliasQuery, call.request);
  await requireAssets(context, call, [{ alias: query.name }], 'read');
  return await answerEvents(context, call, { asset: null, alias: query.name }, query);
};
