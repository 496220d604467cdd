import { type Db, sql } from '../../database.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import type { CallerKey } from './caller.ts';
import { mayReadNamed, type RightsContext } from './rights.ts';

/**
 * The keys of the variables that a try may read: its team's own and shared ones, and of these only declared ones where
 * needs bind it; so the total says no more than the list. Locks nothing.
 * @see promise L8
 */
export async function listVariableKeysFor(
  db: Db,
  key: CallerKey,
  page: { readonly prefix: string | null; readonly limit: number; readonly offset: number },
  rights: RightsContext,
): Promise<With<{ readonly keys: string[]; readonly total_entries: number } | null> | null> {
  return await readForCaller(db, key, {
    name: 'variable_keys_for_try',
    value: sql`(WITH readable AS (
        SELECT DISTINCT v.key COLLATE "C" AS key FROM variable v
        WHERE COALESCE(v.team, '') IN (COALESCE(c.team, ''), '')
          AND (${page.prefix}::text IS NULL OR starts_with(v.key, ${page.prefix}::text))
          AND ${mayReadNamed(rights, 'variables', sql`v.key`)})
      SELECT json_build_object('keys', COALESCE((SELECT json_agg(p.key ORDER BY p.key) FROM (
          SELECT key FROM readable ORDER BY key LIMIT ${page.limit}::integer OFFSET ${page.offset}::integer) p), '[]'),
        'total_entries', (SELECT count(*)::integer FROM readable)))`,
  });
}
