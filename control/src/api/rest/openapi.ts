/** What this release serves, as an OpenAPI document: paths, methods and parameters, made from the routes themselves. */

import { AIRLOCK_VERSION, WIRE_VERSION } from './meta.ts';
import { REST_POLICY } from './policy.ts';
import type { RestRoute } from './route.ts';

/** What the reference calls the free rest of a path; first match counts. */
const FREE_KEYS: ReadonlyArray<readonly [end: string, name: string]> = [
  ['/variables/*', 'variable_key'],
  ['/pools/*', 'pool_name'],
  ['/xcomEntries/*', 'xcom_key'],
  ['/state-store/*', 'key'],
];

/** `/dags/:dag_id` → `/dags/{dag_id}`; free keys get the reference's names. */
function templateOf(path: string): string {
  const key = FREE_KEYS.find(([end]) => path.endsWith(end))?.[1] ?? 'key';
  return path.replace(/:([a-z_]+)/g, '{$1}').replace('*', `{${key}}`);
}

export function openApiDocument(routes: readonly RestRoute[], prefix: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const template = prefix + templateOf(route.path);
    const row = REST_POLICY[`${route.method} ${route.path}`]!;
    const names = [...template.matchAll(/\{([a-z_]+)\}/g)].map((match) => match[1]!);
    paths[template] ??= {};
    paths[template][route.method.toLowerCase()] = {
      tags: ['public' in row ? 'public' : row.resource],
      parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      security: 'public' in row ? [] : [{ bearer: [] }],
      responses: { [String(route.status ?? 200)]: { description: 'Success' } },
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Airlock REST API',
      version: AIRLOCK_VERSION,
      description: `Speaks Airflow ${WIRE_VERSION}'s REST API v2.`,
    },
    paths,
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
  };
}
