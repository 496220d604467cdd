/**
 * What this release serves, as an OpenAPI document. Paths and requests come from the routes and the schemas that they read with,
 * rights from the policy table; answers are the wire's own shapes, since handlers write those without a schema.
 */
import assert from 'node:assert/strict';
import { z } from '@airlock/contract/schema';
import answers from './answers.json' with { type: 'json' };
import { AIRLOCK_VERSION, WIRE_VERSION } from './meta.ts';
import { OPERATIONS, type Operation } from './operations.ts';
import { OWN_ANSWERS } from './own-answers.ts';
import { type PolicyRow, REST_POLICY } from './policy.ts';
import type { RestRoute } from './route.ts';

export type JsonSchema = { readonly [key: string]: unknown };
export type Parameter = {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly required: boolean;
  readonly schema: JsonSchema;
};
type Content = Readonly<Record<string, { readonly schema?: JsonSchema }>>;
export type OpenApiOperation = {
  readonly tags: readonly string[];
  readonly summary: string;
  readonly operationId: string;
  readonly security: ReadonlyArray<Readonly<Record<string, readonly string[]>>>;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
};
export type OpenApiDocument = {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
};

/** What the reference calls the free rest of a path; first match counts. */
const FREE_KEYS: ReadonlyArray<readonly [end: string, name: string]> = [
  ['/variables/*', 'variable_key'],
  ['/pools/*', 'pool_name'],
  ['/xcomEntries/*', 'xcom_key'],
  ['/state-store/*', 'key'],
];
const NUMBERS = /^(map_index|(task_)?try_number|version_number|(asset|asset_alias|backfill|import_error)_id)$/;
const REFUSED: Readonly<Record<number, string>> = {
  400: 'The request makes no sense as things are',
  401: 'No credential, or one that has expired',
  403: 'A credential that is not valid, or not enough',
  404: 'There is no such thing, or none that the caller may see',
  406: 'None of the accepted content types is served',
  409: 'Something stands against it: a name that is taken, a state that does not allow it',
  422: 'The request does not fit its schema',
};
const SUCCESS: Readonly<Record<number, string>> = { 201: 'Created', 202: 'Accepted', 204: 'Done, and nothing to say' };
/** Other content types of a success, besides JSON. */
const ALSO: ReadonlyArray<readonly [end: string, type: string]> = [
  ['/logs/:try_number', 'application/x-ndjson'],
  ['/wait', 'application/x-ndjson'],
  ['/dagSources/:dag_id', 'text/plain'],
  ['/config', 'text/plain'],
  ['/option/:option', 'text/plain'],
];

/** `/dags/:dag_id` → `/dags/{dag_id}`; free keys get the reference's names. */
function templateOf(path: string): string {
  const key = FREE_KEYS.find(([end]) => path.endsWith(end))?.[1] ?? 'key';
  return path.replace(/:([a-z_]+)/g, '{$1}').replace('*', `{${key}}`);
}

function jsonSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}

/** The shapes of the reference, and our own. */
const SHAPES: Readonly<Record<string, JsonSchema>> = {
  ...answers,
  ...Object.fromEntries(Object.entries(OWN_ANSWERS).map(([name, schema]) => [name, jsonSchema(schema)])),
};

const ref = (name: string): JsonSchema => {
  assert.ok(Object.hasOwn(SHAPES, name), `no shape is called ${name}`);
  return { $ref: `#/components/schemas/${name}` };
};

/** Ours: where teams are on, things of several teams may have one name. */
const TEAM_PARAMETER: Parameter = {
  name: 'team_name',
  in: 'query',
  required: false,
  schema: {
    type: 'string',
    maxLength: 50,
    description:
      'Where teams are on: of which team the thing is; empty = of none. Absent: the one that the caller sees, his own before the shared one.',
  },
};

function parametersOf(route: RestRoute, template: string): Parameter[] {
  const inPath = [...template.matchAll(/\{([a-z_]+)\}/g)].map(([, name]): Parameter => {
    const schema = NUMBERS.test(name!) ? { type: 'integer' } : { type: 'string' };
    return { name: name!, in: 'path', required: true, schema };
  });
  const inQuery = Object.entries(route.query?.shape ?? {}).map(([name, schema]): Parameter => {
    const required = !(schema as z.ZodType).safeParse(undefined).success;
    return { name, in: 'query', required, schema: jsonSchema(schema as z.ZodType) };
  });
  return [...inPath, ...inQuery, ...(route.ofTeam ? [TEAM_PARAMETER] : [])];
}

function successOf(route: RestRoute, { answer }: Operation): { description: string; content?: Content } {
  const description = SUCCESS[route.status ?? 200] ?? 'Success';
  if (route.status === 204) return { description };
  const names = typeof answer === 'string' ? [answer] : (answer ?? []);
  const json = names.length > 1 ? { anyOf: names.map(ref) } : names.length === 1 ? ref(names[0]!) : {};
  const other = ALSO.find(([end]) => route.path.endsWith(end))?.[1];
  const more: Content = other === undefined ? {} : { [other]: {} };
  return { description, content: { 'application/json': { schema: json }, ...more } };
}

function refusalsOf(row: PolicyRow, operation: Operation, checked: boolean): OpenApiOperation['responses'] {
  const general = [...('public' in row ? [] : [401, 403]), ...(checked ? [422] : [])];
  const all = [...new Set([...general, ...operation.refusals])].sort();
  return Object.fromEntries(
    all.map((status) => {
      const schema = ref(status === 422 ? 'HTTPValidationError' : 'HTTPExceptionResponse');
      return [status, { description: REFUSED[status]!, content: { 'application/json': { schema } } }];
    }),
  );
}

/** @param template below the prefix */
function operationOf(route: RestRoute, template: string): OpenApiOperation {
  const name = `${route.method} ${route.path}`;
  const row = REST_POLICY[name]!;
  const operation = OPERATIONS[name];
  assert.ok(operation, `${name} has no row in operations.ts`);
  const body = route.body && ('shown' in route.body ? route.body.shown : route.body);
  const parameters = parametersOf(route, template);
  const checked = body !== undefined || parameters.some(({ schema }) => schema.type !== 'string');
  return {
    tags: ['public' in row ? 'public' : row.resource],
    summary: operation.summary,
    operationId: `${route.method} ${template}`
      .toLowerCase()
      .replaceAll('{', 'by_')
      .replace(/[^a-z0-9]+/g, '_')
      .replace(/_$/, ''),
    security: 'public' in row ? [] : [{ bearer: [] }],
    parameters,
    ...(body && {
      requestBody: {
        required: !body.safeParse(undefined).success,
        content: { 'application/json': { schema: jsonSchema(body) } },
      },
    }),
    responses: { [route.status ?? 200]: successOf(route, operation), ...refusalsOf(row, operation, checked) },
  };
}

/** @throws when a route has no row in operations.ts, or a row no route */
export function openApiDocument(routes: readonly RestRoute[], prefix: string): OpenApiDocument {
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const route of routes) {
    const template = templateOf(route.path);
    paths[prefix + template] ??= {};
    paths[prefix + template]![route.method.toLowerCase()] = operationOf(route, template);
  }
  const names = new Set(routes.map((route) => `${route.method} ${route.path}`));
  assert.deepEqual(
    Object.keys(OPERATIONS).filter((name) => !names.has(name)),
    [],
    'rows of operations.ts without a route',
  );
  return {
    openapi: '3.1.0',
    info: {
      title: 'Airlock REST API',
      version: AIRLOCK_VERSION,
      description: `Speaks Airflow ${WIRE_VERSION}'s REST API v2.`,
    },
    paths,
    components: {
      schemas: SHAPES,
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
  };
}
