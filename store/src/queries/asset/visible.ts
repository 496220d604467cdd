import { type Sql, sql } from '../../database.ts';

/**
 * The asset `a` is one that the try `c` may see without declared needs: where teams are off, any; else one that a live Dag of
 * its team, or of none, names.
 */
export function assetVisible(multiTeam: boolean): Sql {
  return sql`(NOT ${multiTeam}::boolean OR EXISTS (SELECT 1 FROM asset_reference v JOIN dag g ON g.dag_id = v.dag_id
    AND NOT g.is_stale WHERE v.asset_id = a.id AND (g.team IS NULL OR g.team = c.team)))`;
}
