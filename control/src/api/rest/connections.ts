/** Connections. @see rest-api 4.6, 5.9 */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';

import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { type ConnectionRow, findConnection } from '@airlock/store/queries/connection/get';
import {
  type ConnectionValues,
  deleteConnection,
  insertConnection,
  updateConnection,
} from '@airlock/store/queries/connection/write';
import { CONNECTION_ORDER, listConnections } from '@airlock/store/queries/rest-connection/list';
import { uniqueViolation } from '../http/errors.ts';
import { parseBody, parseQuery, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { openConnection, secretOwner } from '../secrets/stored.ts';
import { bulkBody, runBulk } from './bulk.ts';
import { DEFAULT_CONNECTIONS } from './default-connections.ts';
import { fieldsToUpdate, maskQuery, pageOf, pageQuery, patterns, sortKeys } from './list-query.ts';
import { HIDDEN } from './mask.ts';
import { pythonJson } from './python-json.ts';
import type { RestContext, RestDeps, RestRoute } from './route.ts';
import { changedTeam, checkTeam, named, type TeamName, withTeams } from './team.ts';

function isObject(value: unknown): value is Record<string, unknown> {
  // Plain objects only: numbers that keep their digits are objects too.
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** A text that holds a JSON object; empty means `{}`. */
const extraText = wire
  .text()
  .nullish()
  .transform((text, ctx): string | null | undefined => {
    if (text === null || text === undefined) return text;
    if (text === '') return '{}';
    const hint = "The `extra` field must be a valid JSON object (e.g., {'key': 'value'})";
    const refuse = (reason: string) =>
      wireIssue(ctx, { type: 'value_error', msg: `Value error, ${reason}`, ctx: { error: {} } });
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return refuse(`${hint}, but encountered non-JSON in \`extra\` field`);
    }
    return isObject(value) ? text : refuse(hint);
  });

export const connectionEntity = (team_name: TeamName) =>
  z.strictObject({
    connection_id: wire.text({ min: 1, max: 200, pattern: /^[\p{L}\p{N}_.-]+$/u, shownPattern: '^[\\w.-]+$' }),
    conn_type: wire.text({ max: 500 }),
    description: wire.text().nullish(),
    host: wire.text({ max: 500 }).nullish(),
    login: wire.text().nullish(),
    schema: wire.text({ max: 500 }).nullish(),
    port: wire.int().nullish(),
    password: wire.text().nullish(),
    extra: extraText,
    team_name,
  });
export type ConnectionBody = z.output<ReturnType<typeof connectionEntity>>;
export const connectionBody = withTeams(connectionEntity);
const listQuery = z.object({ ...pageQuery, ...patterns('connection_id') });

function notFound(id: string): AppError {
  return new AppError('NOT_FOUND', { public: `The Connection with connection_id: \`${id}\` was not found` });
}

function shownExtra(deps: RestDeps, extra: string | null): string | null {
  if (extra === null) return null;
  try {
    return pythonJson(deps.masker.mask(parseExact(extra)));
  } catch {
    // Stored by another road than this API, and not JSON: nothing of it can be told apart from a secret.
    return HIDDEN;
  }
}

function answer(deps: RestDeps, sealed: ConnectionRow): Record<string, unknown> {
  const row = openConnection(deps.secrets, sealed);
  return {
    connection_id: row.conn_id,
    conn_type: row.conn_type,
    description: row.description,
    host: row.host,
    login: row.login,
    schema: row.schema,
    port: row.port,
    password: row.password ? HIDDEN : null,
    extra: shownExtra(deps, row.extra),
    team_name: row.team,
  };
}

/** The row as it is stored, secrets sealed. */
export function sealed(deps: RestDeps, row: ConnectionValues): ConnectionValues {
  const box = deps.secrets;
  return {
    ...row,
    password: row.password === null ? null : box.seal(row.password, secretOwner.password(row.conn_id)),
    extra: row.extra === null ? null : box.seal(row.extra, secretOwner.extra(row.conn_id)),
    is_encrypted: box.encrypts,
  };
}

export function fromBody(body: ConnectionBody): ConnectionValues {
  return {
    team: body.team_name ?? null,
    conn_id: body.connection_id,
    conn_type: body.conn_type,
    description: body.description ?? null,
    host: body.host ?? null,
    schema: body.schema ?? null,
    login: body.login ?? null,
    password: body.password ?? null,
    port: body.port ?? null,
    extra: body.extra ?? null,
    is_encrypted: false,
  };
}

/** The new extra: `***` under a sensitive name keeps what is stored, other keys come from the body. */
export function mergeExtra(deps: Pick<RestDeps, 'masker'>, stored: string | null, sent: string): string {
  const merge = (old: unknown, next: unknown, name?: string): unknown => {
    if (next === HIDDEN && name !== undefined && deps.masker.isSensitive(name)) return old ?? next;
    if (!isObject(next)) return next;
    const before = isObject(old) ? old : {};
    return Object.fromEntries(Object.entries(next).map(([key, value]) => [key, merge(before[key], value, key)]));
  };
  return pythonJson(merge(stored === null ? {} : parseExact(stored), parseExact(sent)));
}

async function change(
  tx: Db,
  context: RestContext,
  row: ConnectionRow,
  body: ConnectionBody,
  mask: readonly string[],
): Promise<ConnectionRow> {
  const { deps } = context;
  const fields = fieldsToUpdate(body, mask);
  // The mask may name `extra` without the body holding it: that clears it.
  if (mask.includes('extra')) fields.add('extra');
  const target = { resource: 'connection', item: row.conn_id } as const;
  const old = openConnection(deps.secrets, row);
  const take = <T>(name: string, value: T | undefined, before: T): T =>
    fields.has(name) ? (value ?? (null as T)) : before;
  const values: ConnectionValues = {
    team: await changedTeam(tx, context, target, { from: row.team, to: body.team_name, mask }),
    conn_id: old.conn_id,
    conn_type: fields.has('conn_type') ? body.conn_type : old.conn_type,
    description: take('description', body.description, old.description),
    host: take('host', body.host, old.host),
    schema: take('schema', body.schema, old.schema),
    login: take('login', body.login, old.login),
    port: take('port', body.port, old.port),
    // Null, empty or the mask itself leave a stored password as it is: the reference's rule.
    password: fields.has('password') && body.password && body.password !== HIDDEN ? body.password : old.password,
    extra: fields.has('extra') ? (body.extra ? mergeExtra(deps, old.extra, body.extra) : null) : old.extra,
    is_encrypted: false,
  };
  const updated = await updateConnection(tx, row.id, sealed(deps, values));
  if (!updated) throw notFound(row.conn_id);
  return updated;
}

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const { rows, total } = await listConnections(context.deps.db, {
    visible: context.visible,
    idPattern: query.connection_id_pattern,
    idPrefix: query.connection_id_prefix_pattern,
    order: sortKeys(query.order_by, CONNECTION_ORDER, CONNECTION_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { connections: rows.map((row) => answer(context.deps, row)), total_entries: total };
}

async function get(context: RestContext): Promise<unknown> {
  const connId = context.param('connection_id');
  const row = await findConnection(context.deps.db, connId, named(context));
  if (!row) throw notFound(connId);
  return answer(context.deps, row);
}

async function create(context: RestContext): Promise<unknown> {
  const body = parseBody(connectionBody(context), context.request);
  return context.mutate('post_connection', {}, async (tx) => answer(context.deps, await insert(tx, context, body)));
}

/** @throws CONFLICT · FORBIDDEN, BAD_REQUEST about the team */
async function insert(tx: Db, context: RestContext, body: ConnectionBody): Promise<ConnectionRow> {
  const values = fromBody(body);
  await checkTeam(tx, context, { resource: 'connection', method: 'POST', item: body.connection_id }, values.team);
  const row = await insertConnection(tx, sealed(context.deps, values));
  if (!row) throw uniqueViolation(`A connection named ${body.connection_id} exists already.`);
  return row;
}

async function patch(context: RestContext): Promise<unknown> {
  const connId = context.param('connection_id');
  const body = parseBody(connectionBody(context), context.request);
  const { update_mask: mask } = parseQuery(maskQuery, context.request);
  if (body.connection_id !== connId) {
    throw new AppError('BAD_REQUEST', {
      public: 'The connection_id in the request body does not match the URL parameter',
    });
  }
  return context.mutate('patch_connection', {}, async (tx) => {
    const row = await findConnection(tx, connId, named(context));
    if (!row) throw notFound(connId);
    return answer(context.deps, await change(tx, context, row, body, mask));
  });
}

async function remove(context: RestContext): Promise<void> {
  const connId = context.param('connection_id');
  await context.mutate('delete_connection', {}, async (tx) => {
    const row = await findConnection(tx, connId, named(context));
    if (!row || !(await deleteConnection(tx, row.id))) throw notFound(connId);
  });
}

const bulkSchema = withTeams((teamName) => bulkBody(connectionEntity(teamName), connectionEntity(teamName)));

async function bulk(context: RestContext): Promise<unknown> {
  const body = parseBody(bulkSchema(context), context.request);
  return context.mutate('bulk_connections', {}, async (tx) => {
    const find = (connId: string, created: ConnectionBody | null) =>
      findConnection(tx, connId, { visible: context.visible, ...(created ? { team: created.team_name ?? null } : {}) });
    const rewrite = async (entity: ConnectionBody, created: ConnectionBody | null) => {
      const row = await find(entity.connection_id, created);
      if (!row) throw notFound(entity.connection_id);
      await change(tx, context, row, entity, []);
    };
    return runBulk<ConnectionBody, ConnectionBody>(body.actions, {
      plural: 'connections with these connection_ids',
      idOf: (entity) => entity.connection_id,
      exists: async (connId, created) => (await find(connId, created)) !== null,
      create: async (entity) => {
        await insert(tx, context, entity);
      },
      overwrite: (entity) => rewrite(entity, entity),
      update: (entity) => rewrite(entity, null),
      remove: async (connId) => {
        const row = await find(connId, null);
        if (row) await deleteConnection(tx, row.id);
      },
    });
  });
}

/** Makes the sample connections that are missing, of no team; those that are there stay as they are. */
async function defaults(context: RestContext): Promise<void> {
  await context.mutate('create_default_connections', {}, async (tx) => {
    for (const each of DEFAULT_CONNECTIONS) {
      const { host = null, schema = null, login = null, password = null, port = null, extra = null, ...names } = each;
      const row = {
        team: null,
        description: null,
        is_encrypted: false,
        ...names,
        host,
        schema,
        login,
        password,
        port,
        extra,
      };
      await insertConnection(tx, sealed(context.deps, row));
    }
  });
}

const audit = { hide: ['password'], hideValues: ['extra'] };
export const connectionRoutes: RestRoute[] = [
  { method: 'GET', path: '/connections', handle: list, query: listQuery },
  {
    method: 'POST',
    path: '/connections',
    handle: create,
    body: connectionBody,
    status: 201,
    event: 'post_connection',
    audit,
  },
  { method: 'PATCH', path: '/connections', handle: bulk, body: bulkSchema, event: 'bulk_connections', audit },
  {
    method: 'POST',
    path: '/connections/defaults',
    handle: defaults,
    status: 204,
    event: 'create_default_connections',
  },
  { method: 'GET', path: '/connections/:connection_id', handle: get, ofTeam: true },
  {
    method: 'PATCH',
    path: '/connections/:connection_id',
    handle: patch,
    ofTeam: true,
    query: maskQuery,
    body: connectionBody,
    event: 'patch_connection',
    audit,
  },
  {
    method: 'DELETE',
    path: '/connections/:connection_id',
    handle: remove,
    ofTeam: true,
    status: 204,
    event: 'delete_connection',
  },
];
