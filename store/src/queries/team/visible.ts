import { type Sql, sql } from '../../database.ts';

/**
 * What somebody may see of things that belong to teams: everything, or what belongs to these teams and what belongs to none.
 * Lists take it as an argument that cannot be left out, so that page and total are cut by the same condition.
 */
export type Visible = 'all' | { readonly teams: readonly string[] };

/** Conditions on a column that holds a row's team. */
export function visibleIn(team: Sql, visible: Visible): Sql[] {
  return visible === 'all' ? [] : [sql`(${team} IS NULL OR ${team} = ANY(${[...visible.teams]}))`];
}

/** Conditions on a column that names a Dag. What names none, or one that is gone, is not visible to members of teams. */
export function visibleDags(dagId: Sql, visible: Visible): Sql[] {
  if (visible === 'all') return [];
  return [sql`${dagId} IN (SELECT seen.dag_id FROM dag seen WHERE ${visibleIn(sql`seen.team`, visible)[0]!})`];
}

/** Conditions on a column that names a bundle. */
export function visibleBundles(bundle: Sql, visible: Visible): Sql[] {
  if (visible === 'all') return [];
  return [sql`${bundle} IN (SELECT seen.name FROM dag_bundle seen WHERE ${visibleIn(sql`seen.team`, visible)[0]!})`];
}

/**
 * Which of the rows of one name is meant, where every team may have its own: of the visible ones a team's own comes before the
 * shared one, as it does for tasks; `team` picks one, null the shared one.
 */
export type Named = { readonly visible: Visible; readonly team?: string | null };

/** Conditions on the team of a named row; rows are to be sorted by it, NULLs last. */
export function namedIn(team: Sql, named: Named): Sql[] {
  const picked = named.team === undefined ? [] : [sql`${team} IS NOT DISTINCT FROM ${named.team}`];
  return [...picked, ...visibleIn(team, named.visible)];
}
