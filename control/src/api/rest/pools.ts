/** Pools. @see rest-api 4.6, 5.10 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { type Db, notify } from '@airlock/store';
import { getPool, type PoolRow } from '@airlock/store/queries/pool/get';
import { deletePool, insertPool, type PoolValues, updatePool } from '@airlock/store/queries/pool/write';
import { listPools, POOL_ORDER } from '@airlock/store/queries/rest-pool/list';
import { uniqueViolation } from '../http/errors.ts';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { bulkBody, runBulk } from './bulk.ts';
import { fieldsToUpdate, maskQuery, pageOf, pageQuery, patterns, sortKeys } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { changedTeam, checkTeam, type TeamName, withTeams } from './team.ts';

export const DEFAULT_POOL = 'default_pool';
const slots = wire.int({ ge: -1 });
const name = wire.text({ min: 1, max: 256 });

/** `pool` is an older name of `name`. */
function nameOrPool(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const { pool, ...rest } = value as Record<string, unknown>;
  return pool === undefined || rest.name !== undefined ? value : { name: pool, ...rest };
}

const whole = (team_name: TeamName) =>
  z.strictObject({
    name,
    slots,
    description: wire.text().nullish(),
    include_deferred: wire.bool().default(false),
    team_name,
  });
type PoolBody = z.output<ReturnType<typeof whole>>;
const poolEntity = (teamName: TeamName) => z.preprocess(nameOrPool, whole(teamName));
/** A PATCH is checked as a whole pool, and there `include_deferred` has no default. */
const patchEntity = (teamName: TeamName) =>
  z.preprocess(nameOrPool, whole(teamName).extend({ include_deferred: wire.bool() }));
const poolBody = withTeams(poolEntity);
const wholePatch = withTeams(patchEntity);

const sentFields = (team_name: TeamName) =>
  z.strictObject({
    name: name.nullish(),
    pool: name.nullish(),
    slots: slots.nullish(),
    description: wire.text().nullish(),
    include_deferred: wire.bool().nullish(),
    team_name,
  });
const patchBody = withTeams(sentFields);
const listQuery = z.object({ ...pageQuery, ...patterns('pool_name') });

function notFound(pool: string): AppError {
  return new AppError('NOT_FOUND', { public: `The Pool with name: \`${pool}\` was not found` });
}

function answer(row: PoolRow): Record<string, unknown> {
  const occupied = row.running_slots + row.queued_slots + (row.include_deferred ? row.deferred_slots : 0);
  return {
    name: row.name,
    slots: row.slots,
    description: row.description,
    include_deferred: row.include_deferred,
    occupied_slots: occupied,
    running_slots: row.running_slots,
    queued_slots: row.queued_slots,
    scheduled_slots: row.scheduled_slots,
    open_slots: row.slots === -1 ? -1 : row.slots - occupied,
    deferred_slots: row.deferred_slots,
    team_name: row.team,
  };
}

async function reload(tx: Db, context: RestContext, pool: string): Promise<PoolRow> {
  const row = await getPool(tx, pool, context.visible);
  if (!row) throw notFound(pool);
  return row;
}

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const { rows, total } = await listPools(context.deps.db, {
    visible: context.visible,
    namePattern: query.pool_name_pattern,
    namePrefix: query.pool_name_prefix_pattern,
    order: sortKeys(query.order_by, POOL_ORDER, POOL_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { pools: rows.map(answer), total_entries: total };
}

async function get(context: RestContext): Promise<unknown> {
  return answer(await reload(context.deps.db, context, context.param('*')));
}

function fromBody(body: PoolBody): PoolValues {
  return {
    name: body.name,
    slots: body.slots,
    description: body.description ?? null,
    include_deferred: body.include_deferred,
    team: body.team_name ?? null,
  };
}

/** @throws CONFLICT the name is taken · FORBIDDEN, BAD_REQUEST about the team */
async function insert(tx: Db, context: RestContext, body: PoolBody): Promise<void> {
  const values = fromBody(body);
  await checkTeam(tx, context, { resource: 'pool', method: 'POST', item: body.name }, values.team);
  if (!(await insertPool(tx, values))) throw uniqueViolation(`A pool named ${body.name} exists already.`);
}

async function create(context: RestContext): Promise<unknown> {
  const body = parseBody(poolBody(context), context.request);
  return context.mutate('post_pool', {}, async (tx) => {
    await insert(tx, context, body);
    return answer(await reload(tx, context, body.name));
  });
}

/** The default pool keeps its name and description; the rest of a pool can only be sent whole. */
function patchFields(
  context: RestContext,
  pool: string,
  sent: z.output<ReturnType<typeof sentFields>>,
  mask: readonly string[],
): Set<string> {
  const changeable = ['slots', 'include_deferred'];
  if (pool === DEFAULT_POOL) {
    if (mask.length === 0 || mask.some((field) => !changeable.includes(field))) {
      throw new AppError('BAD_REQUEST', {
        public: 'Only slots and included_deferred can be modified on Default Pool',
      });
    }
    return fieldsToUpdate(sent, mask);
  }
  const given = sent.pool ?? sent.name;
  if (given !== null && given !== undefined && given !== pool) {
    throw new AppError('BAD_REQUEST', {
      public: "Invalid body, pool name from request body doesn't match uri parameter",
    });
  }
  check(wholePatch(context), context.request.body, []);
  return fieldsToUpdate(sent, mask);
}

async function patch(context: RestContext): Promise<unknown> {
  const pool = context.param('*');
  const sent = parseBody(patchBody(context), context.request);
  const { update_mask: mask } = parseQuery(maskQuery, context.request);
  const fields = patchFields(context, pool, sent, mask);
  return context.mutate('patch_pool', {}, async (tx) => {
    const row = await reload(tx, context, pool);
    const target = { resource: 'pool', item: pool } as const;
    await updatePool(tx, {
      name: pool,
      team: await changedTeam(tx, context, target, { from: row.team, to: sent.team_name, mask }),
      slots: fields.has('slots') ? (sent.slots ?? row.slots) : row.slots,
      description: fields.has('description') ? (sent.description ?? null) : row.description,
      include_deferred: fields.has('include_deferred') ? (sent.include_deferred ?? false) : row.include_deferred,
    });
    await notify(tx, { kind: 'schedule' });
    return answer(await reload(tx, context, pool));
  });
}

async function remove(context: RestContext): Promise<void> {
  const pool = context.param('*');
  if (pool === DEFAULT_POOL) throw new AppError('BAD_REQUEST', { public: "Default Pool can't be deleted" });
  await context.mutate('delete_pool', {}, async (tx) => {
    await reload(tx, context, pool);
    if (!(await deletePool(tx, pool))) throw notFound(pool);
  });
}

const bulkSchema = withTeams((teamName) => bulkBody(poolEntity(teamName), patchEntity(teamName)));

async function bulk(context: RestContext): Promise<unknown> {
  const body = parseBody(bulkSchema(context), context.request);
  return context.mutate('bulk_pools', {}, async (tx) => {
    const rewrite = async (entity: PoolBody, mask: readonly string[]) => {
      const row = await reload(tx, context, entity.name);
      const fields = fieldsToUpdate(entity, mask);
      const target = { resource: 'pool', item: entity.name } as const;
      await updatePool(tx, {
        name: entity.name,
        team: await changedTeam(tx, context, target, { from: row.team, to: entity.team_name, mask }),
        slots: fields.has('slots') ? entity.slots : row.slots,
        description: fields.has('description') ? (entity.description ?? null) : row.description,
        include_deferred: fields.has('include_deferred') ? entity.include_deferred : row.include_deferred,
      });
    };
    const result = await runBulk<PoolBody, PoolBody>(body.actions, {
      plural: 'pools with these pool names',
      idOf: (entity) => entity.name,
      exists: async (each) => (await getPool(tx, each, context.visible)) !== null,
      create: (entity) => insert(tx, context, entity),
      overwrite: (entity) => rewrite(entity, []),
      update: rewrite,
      remove: async (each) => {
        await deletePool(tx, each);
      },
      refuseDelete: (each) => (each === DEFAULT_POOL ? "Default Pool can't be deleted" : null),
    });
    await notify(tx, { kind: 'schedule' });
    return result;
  });
}

export const poolRoutes: RestRoute[] = [
  { method: 'GET', path: '/pools', handle: list, query: listQuery },
  { method: 'POST', path: '/pools', handle: create, body: poolBody, status: 201, event: 'post_pool' },
  { method: 'PATCH', path: '/pools', handle: bulk, body: bulkSchema, event: 'bulk_pools' },
  { method: 'GET', path: '/pools/*', handle: get },
  { method: 'PATCH', path: '/pools/*', handle: patch, query: maskQuery, body: patchBody, event: 'patch_pool' },
  { method: 'DELETE', path: '/pools/*', handle: remove, status: 204, event: 'delete_pool' },
];
