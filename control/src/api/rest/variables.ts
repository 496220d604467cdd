/** Variables. @see rest-api 4.6, 5.8 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { listVariables, VARIABLE_ORDER } from '@airlock/store/queries/rest-variable/list';
import { getVariable, type VariableRow } from '@airlock/store/queries/variable/get';
import { deleteVariable, insertVariable, updateVariable } from '@airlock/store/queries/variable/write';
import { parseBody, parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { openVariable, secretOwner } from '../secrets/stored.ts';
import { bulkBody, runBulk } from './bulk.ts';
import { fieldsToUpdate, maskQuery, pageOf, pageQuery, patterns, sortKeys } from './list-query.ts';
import { HIDDEN } from './mask.ts';
import { exactMember, parseKeepingNumbers, pythonJson } from './python-json.ts';
import type { RestContext, RestDeps, RestRoute } from './route.ts';
import { teamName } from './team.ts';

const variableBody = z.strictObject({
  key: wire.text({ max: 250 }),
  value: wire.json(),
  description: wire.text().nullish(),
  team_name: teamName,
});
type VariableBody = z.output<typeof variableBody>;
const listQuery = z.object({ ...pageQuery, ...patterns('variable_key') });

/** The stored text as it is read back: through JSON when it is JSON, and hidden where a name says so. */
export function shownValue(deps: Pick<RestDeps, 'masker'>, key: string, val: string): string {
  if (deps.masker.isSensitive(key)) return HIDDEN;
  try {
    return pythonJson(deps.masker.mask(parseKeepingNumbers(val)));
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
    keyPattern: query.variable_key_pattern,
    keyPrefix: query.variable_key_prefix_pattern,
    order: sortKeys(query.order_by, VARIABLE_ORDER, VARIABLE_ORDER.id!, ['id']),
    ...pageOf(context, query),
  });
  return { variables: rows.map((row) => answer(context, row)), total_entries: total };
}

async function get(context: RestContext): Promise<unknown> {
  const key = context.param('*');
  const row = await getVariable(context.deps.db, { team: null, key });
  if (!row) throw notFound(key);
  return answer(context, row);
}

async function create(context: RestContext): Promise<unknown> {
  const body = parseBody(variableBody, context.request);
  const val = storedText(exactValue(context, body));
  return context.mutate('post_variable', {}, async (tx) => {
    const row = await insertVariable(tx, {
      team: body.team_name ?? null,
      key: body.key,
      description: body.description ?? null,
      ...seal(context.deps, body.key, val),
    });
    if (!row) throw new AppError('CONFLICT', { public: `The Variable with key: \`${body.key}\` already exists` });
    return answer(context, row);
  });
}

async function change(
  tx: Db,
  deps: RestDeps,
  row: VariableRow,
  body: VariableBody,
  value: unknown,
  fields: ReadonlySet<string>,
): Promise<VariableRow> {
  const sealed = fields.has('value') ? seal(deps, row.key, storedText(value)) : row;
  const updated = await updateVariable(tx, row.id, {
    val: sealed.val,
    is_encrypted: sealed.is_encrypted,
    description: fields.has('description') ? (body.description ?? null) : row.description,
  });
  if (!updated) throw notFound(row.key);
  return updated;
}

async function patch(context: RestContext): Promise<unknown> {
  const key = context.param('*');
  const body = parseBody(variableBody, context.request);
  const { update_mask: mask } = parseQuery(maskQuery, context.request);
  if (body.key !== key) {
    throw new AppError('BAD_REQUEST', { public: "Invalid body, key from request body doesn't match uri parameter" });
  }
  if (mask.includes('key')) {
    const public_ = "Update not allowed: the following fields are immutable and cannot be modified: {'key'}";
    throw new AppError('BAD_REQUEST', { public: public_ });
  }
  return context.mutate('patch_variable', {}, async (tx) => {
    const row = await getVariable(tx, { team: null, key });
    if (!row) throw notFound(key);
    return answer(
      context,
      await change(tx, context.deps, row, body, exactValue(context, body), fieldsToUpdate(body, mask)),
    );
  });
}

async function remove(context: RestContext): Promise<void> {
  const key = context.param('*');
  await context.mutate('delete_variable', {}, async (tx) => {
    if (!(await deleteVariable(tx, { team: null, key }))) throw notFound(key);
  });
}

const bulkSchema = bulkBody(variableBody, variableBody);

async function bulk(context: RestContext): Promise<unknown> {
  const body = parseBody(bulkSchema, context.request);
  const { deps } = context;
  return context.mutate('bulk_variables', {}, async (tx) => {
    const load = async (key: string) => (await getVariable(tx, { team: null, key })) ?? Promise.reject(notFound(key));
    return runBulk<VariableBody, VariableBody>(body.actions, {
      plural: 'variables with these keys',
      idOf: (entity) => entity.key,
      existing: async (keys) => {
        const found = new Set<string>();
        for (const key of keys) if (await getVariable(tx, { team: null, key })) found.add(key);
        return found;
      },
      create: async (entity) => {
        await insertVariable(tx, {
          team: entity.team_name ?? null,
          key: entity.key,
          description: entity.description ?? null,
          ...seal(deps, entity.key, storedText(entity.value)),
        });
      },
      overwrite: async (entity) => {
        const both = new Set(['value', 'description']);
        await change(tx, deps, await load(entity.key), entity, entity.value, both);
      },
      update: async (entity, mask) => {
        await change(tx, deps, await load(entity.key), entity, entity.value, fieldsToUpdate(entity, mask));
      },
      remove: async (key) => {
        await deleteVariable(tx, { team: null, key });
      },
    });
  });
}

const audit = { hide: ['value', 'val'] };
export const variableRoutes: RestRoute[] = [
  { method: 'GET', path: '/variables', handle: list },
  { method: 'POST', path: '/variables', handle: create, status: 201, event: 'post_variable', audit },
  { method: 'PATCH', path: '/variables', handle: bulk, event: 'bulk_variables', audit },
  { method: 'GET', path: '/variables/*', handle: get },
  { method: 'PATCH', path: '/variables/*', handle: patch, event: 'patch_variable', audit },
  { method: 'DELETE', path: '/variables/*', handle: remove, status: 204, event: 'delete_variable' },
];
