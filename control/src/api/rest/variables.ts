/** Variables. @see rest-api 4.6, 5.8 */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';

import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { listVariables, VARIABLE_ORDER } from '@airlock/store/queries/rest-variable/list';
import { findVariable, type VariableRow } from '@airlock/store/queries/variable/get';
import { deleteVariable, insertVariable, updateVariable } from '@airlock/store/queries/variable/write';
import { exactEntities, exactMember } from '../http/exact-member.ts';
import { parseBody, parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { openVariable, secretOwner } from '../secrets/stored.ts';
import { bulkBody, runBulk } from './bulk.ts';
import { fieldsToUpdate, maskQuery, pageOf, pageQuery, patterns, sortKeys } from './list-query.ts';
import { HIDDEN } from './mask.ts';
import { pythonJson } from './python-json.ts';
import type { RestContext, RestDeps, RestRoute } from './route.ts';
import { changedTeam, checkTeam, named, type TeamName, withTeams } from './team.ts';

const entity = (team_name: TeamName) =>
  z.strictObject({ key: wire.text({ max: 250 }), value: wire.json(), description: wire.text().nullish(), team_name });
type VariableBody = z.output<ReturnType<typeof entity>>;
const variableBody = withTeams(entity);
const listQuery = z.object({ ...pageQuery, ...patterns('variable_key') });

/** The stored text as it is read back: through JSON when it is JSON, and hidden where a name says so. */
export function shownValue(deps: Pick<RestDeps, 'masker'>, key: string, val: string): string {
  if (deps.masker.isSensitive(key)) return HIDDEN;
  try {
    return pythonJson(deps.masker.mask(parseExact(val)));
  } catch {
    return val;
  }
}

function answer(context: RestContext, sealed: VariableRow): Record<string, unknown> {
  const row = openVariable(context.deps.secrets, sealed);
  return {
    key: row.key,
    value: shownValue(context.deps, row.key, row.val),
    description: row.description,
    is_encrypted: row.is_encrypted,
    team_name: row.team,
  };
}

/** Text is kept; anything else becomes its indented JSON, numbers with the digits that were sent. */
function storedText(value: unknown): string {
  return typeof value === 'string' ? value : pythonJson(value, 2);
}

function seal(deps: RestDeps, key: string, val: string): { val: string; is_encrypted: boolean } {
  return { val: deps.secrets.seal(val, secretOwner.variable(key)), is_encrypted: deps.secrets.encrypts };
}

function notFound(key: string): AppError {
  return new AppError('NOT_FOUND', { public: `The Variable with key: \`${key}\` was not found` });
}

/** The body's value with numbers as they were sent, where it is not a text. */
function exactValue(context: RestContext, body: VariableBody): unknown {
  return exactMember(context.request.bodyText, 'value', body.value);
}

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const { rows, total } = await listVariables(context.deps.db, {
    visible: context.visible,
    keyPattern: query.variable_key_pattern,
    keyPrefix: query.variable_key_prefix_pattern,
    order: sortKeys(query.order_by, VARIABLE_ORDER, VARIABLE_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { variables: rows.map((row) => answer(context, row)), total_entries: total };
}

async function get(context: RestContext): Promise<unknown> {
  const key = context.param('*');
  const row = await findVariable(context.deps.db, key, named(context));
  if (!row) throw notFound(key);
  return answer(context, row);
}

/** @returns null when the team has that key already. @throws FORBIDDEN, BAD_REQUEST about the team */
async function insert(tx: Db, context: RestContext, body: VariableBody, val: string): Promise<VariableRow | null> {
  const team = body.team_name ?? null;
  await checkTeam(tx, context, { resource: 'variable', method: 'POST', item: body.key }, team);
  const description = body.description ?? null;
  return insertVariable(tx, { team, key: body.key, description, ...seal(context.deps, body.key, val) });
}

async function create(context: RestContext): Promise<unknown> {
  const body = parseBody(variableBody(context), context.request);
  const val = storedText(exactValue(context, body));
  return context.mutate('post_variable', {}, async (tx) => {
    const row = await insert(tx, context, body, val);
    if (!row) throw new AppError('CONFLICT', { public: `The Variable with key: \`${body.key}\` already exists` });
    return answer(context, row);
  });
}

async function change(
  tx: Db,
  context: RestContext,
  row: VariableRow,
  body: VariableBody,
  value: unknown,
  mask: readonly string[],
): Promise<VariableRow> {
  const fields = fieldsToUpdate(body, mask);
  const sealed = fields.has('value') ? seal(context.deps, row.key, storedText(value)) : row;
  const target = { resource: 'variable', item: row.key } as const;
  const updated = await updateVariable(tx, row.id, {
    team: await changedTeam(tx, context, target, { from: row.team, to: body.team_name, mask }),
    val: sealed.val,
    is_encrypted: sealed.is_encrypted,
    description: fields.has('description') ? (body.description ?? null) : row.description,
  });
  if (!updated) throw notFound(row.key);
  return updated;
}

async function patch(context: RestContext): Promise<unknown> {
  const key = context.param('*');
  const body = parseBody(variableBody(context), context.request);
  const { update_mask: mask } = parseQuery(maskQuery, context.request);
  if (body.key !== key) {
    throw new AppError('BAD_REQUEST', { public: "Invalid body, key from request body doesn't match uri parameter" });
  }
  if (mask.includes('key')) {
    const public_ = "Update not allowed: the following fields are immutable and cannot be modified: {'key'}";
    throw new AppError('BAD_REQUEST', { public: public_ });
  }
  return context.mutate('patch_variable', {}, async (tx) => {
    const row = await findVariable(tx, key, named(context));
    if (!row) throw notFound(key);
    return answer(context, await change(tx, context, row, body, exactValue(context, body), mask));
  });
}

async function remove(context: RestContext): Promise<void> {
  const key = context.param('*');
  await context.mutate('delete_variable', {}, async (tx) => {
    const row = await findVariable(tx, key, named(context));
    if (!row || !(await deleteVariable(tx, row.id))) throw notFound(key);
  });
}

const bulkSchema = withTeams((teamName) => bulkBody(entity(teamName), entity(teamName)));

async function bulk(context: RestContext): Promise<unknown> {
  const body = parseBody(bulkSchema(context), context.request);
  const actions = exactEntities(context.request.bodyText, body.actions, 'value');
  return context.mutate('bulk_variables', {}, async (tx) => {
    const find = (key: string, created: VariableBody | null) =>
      findVariable(tx, key, { visible: context.visible, ...(created ? { team: created.team_name ?? null } : {}) });
    const load = async (key: string, created: VariableBody | null = null) =>
      (await find(key, created)) ?? Promise.reject(notFound(key));
    return runBulk<VariableBody, VariableBody>(actions, {
      plural: 'variables with these keys',
      idOf: (entity) => entity.key,
      exists: async (key, created) => (await find(key, created)) !== null,
      create: async (entity) => {
        await insert(tx, context, entity, storedText(entity.value));
      },
      overwrite: async (entity) => {
        const whole = { ...entity, description: entity.description ?? null };
        await change(tx, context, await load(entity.key, entity), whole, entity.value, ['value', 'description']);
      },
      update: async (entity, mask) => {
        await change(tx, context, await load(entity.key), entity, entity.value, mask);
      },
      remove: async (key) => {
        await deleteVariable(tx, (await load(key)).id);
      },
    });
  });
}

const audit = { hide: ['value', 'val'] };
export const variableRoutes: RestRoute[] = [
  { method: 'GET', path: '/variables', handle: list, query: listQuery },
  {
    method: 'POST',
    path: '/variables',
    handle: create,
    body: variableBody,
    status: 201,
    event: 'post_variable',
    audit,
  },
  { method: 'PATCH', path: '/variables', handle: bulk, body: bulkSchema, event: 'bulk_variables', audit },
  { method: 'GET', path: '/variables/*', handle: get, ofTeam: true },
  {
    method: 'PATCH',
    path: '/variables/*',
    handle: patch,
    ofTeam: true,
    query: maskQuery,
    body: variableBody,
    event: 'patch_variable',
    audit,
  },
  { method: 'DELETE', path: '/variables/*', handle: remove, ofTeam: true, status: 204, event: 'delete_variable' },
];
