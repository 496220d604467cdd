/** Plugins of the server. There are none: whatever extends it would run beside its keys and its database. @see rest-api 4.9 */
import { z } from '@airlock/contract/schema';
import { parseQuery } from '../http/validation.ts';
import { pageQuery } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

const query = z.object({ limit: pageQuery.limit, offset: pageQuery.offset });

async function plugins(context: RestContext): Promise<unknown> {
  parseQuery(query, context.request);
  return { plugins: [], total_entries: 0 };
}

async function importErrors(): Promise<unknown> {
  return { import_errors: [], total_entries: 0 };
}

export const pluginRoutes: RestRoute[] = [
  { method: 'GET', path: '/plugins', handle: plugins },
  { method: 'GET', path: '/plugins/importErrors', handle: importErrors },
];
