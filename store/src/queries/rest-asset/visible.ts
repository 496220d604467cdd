import { join, type Sql, sql } from '../../database.ts';
import { type Visible, visibleDags } from '../team/visible.ts';

/** Conditions on `asset a`: some Dag that names it is visible, or none names it. */
export function visibleAssets(visible: Visible): Sql[] {
  if (visible === 'all') return [];
  return [
    sql`(EXISTS (SELECT 1 FROM asset_reference v WHERE v.asset_id = a.id AND ${visibleDags(sql`v.dag_id`, visible)[0]!})
      OR NOT EXISTS (SELECT 1 FROM asset_reference v WHERE v.asset_id = a.id))`,
  ];
}

/** The conditions as one. */
export function allOf(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? sql`true` : join([...conditions], ' AND ');
}
