/**
 * Providers and plugins of the Python that parses Dag files. The server itself has none: whatever extends it would run beside
 * its keys and its database. @see rest-api 4.9
 */
import { z } from '@airlock/contract/schema';
import { listInterpreter } from '@airlock/store/queries/supervisor/interpreter';
import { parseQuery } from '../http/validation.ts';
import { pageOf, pageQuery } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

const query = z.object({ limit: pageQuery.limit, offset: pageQuery.offset });

async function providers(context: RestContext): Promise<unknown> {
  const page = pageOf(context, parseQuery(query, context.request));
  const { rows, total } = await listInterpreter(context.deps.db, 'providers', page);
  return { providers: rows, total_entries: total };
}

async function plugins(context: RestContext): Promise<unknown> {
  const page = pageOf(context, parseQuery(query, context.request));
  const { rows, total } = await listInterpreter(context.deps.db, 'plugins', page);
  return { plugins: rows, total_entries: total };
}

/** Not in pages, as in the reference; the report is bounded. */
async function importErrors({ deps }: RestContext): Promise<unknown> {
  const { rows, total } = await listInterpreter(deps.db, 'plugin_import_errors', { limit: 1000, offset: 0 });
  return { import_errors: rows, total_entries: total };
}

export const extensionRoutes: RestRoute[] = [
  { method: 'GET', path: '/providers', handle: providers, query },
  { method: 'GET', path: '/plugins', handle: plugins, query },
  { method: 'GET', path: '/plugins/importErrors', handle: importErrors },
];
