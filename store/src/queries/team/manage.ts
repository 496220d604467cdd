import { type Db, sql } from '../../database.ts';

export type TeamRow = { readonly name: string; readonly bundles: string[]; readonly users: string[] };

/** All teams by name, with the bundles and users that belong to them. */
export async function listTeams(db: Db): Promise<TeamRow[]> {
  return db.query<TeamRow>(
    sql`SELECT t.name, ARRAY(SELECT b.name FROM dag_bundle b WHERE b.team = t.name AND b.active ORDER BY b.name) AS bundles,
        ARRAY(SELECT m.account FROM account_team m WHERE m.team = t.name ORDER BY m.account) AS users
      FROM team t ORDER BY t.name`,
  );
}

/** Whether there is such a team. */
export async function teamExists(db: Db, name: string): Promise<boolean> {
  return (await db.query(sql`SELECT 1 FROM team WHERE name = ${name}`, 'team_exists')).length > 0;
}

/** @returns false when there was one. Locks: that row of `team`. */
export async function insertTeam(db: Db, name: string): Promise<boolean> {
  return (
    (await db.query(sql`INSERT INTO team (name) VALUES (${name}) ON CONFLICT DO NOTHING RETURNING name`)).length > 0
  );
}

export type TeamUses = {
  readonly bundles: number;
  readonly dags: number;
  readonly variables: number;
  readonly connections: number;
  readonly pools: number;
};

/** What belongs to a team, apart from users. Locks: the row of `team`, so that nothing can be added meanwhile. */
export async function lockTeamUses(tx: Db, name: string): Promise<TeamUses | null> {
  if ((await tx.query(sql`SELECT 1 FROM team WHERE name = ${name} FOR UPDATE`)).length === 0) return null;
  const rows = await tx.query<TeamUses>(
    sql`SELECT (SELECT count(*) FROM dag_bundle WHERE team = ${name} AND active)::int AS bundles,
      (SELECT count(*) FROM dag WHERE team = ${name})::int AS dags,
      (SELECT count(*) FROM variable WHERE team = ${name})::int AS variables,
      (SELECT count(*) FROM connection WHERE team = ${name})::int AS connections,
      (SELECT count(*) FROM slot_pool WHERE team = ${name})::int AS pools`,
  );
  return rows[0]!;
}

/** Removes a team that nothing belongs to, with its memberships. Locks: bundles that are no longer used, then the row. */
export async function deleteTeam(tx: Db, name: string): Promise<void> {
  await tx.query(sql`UPDATE dag_bundle SET team = NULL WHERE team = ${name} AND NOT active`);
  await tx.query(sql`DELETE FROM team WHERE name = ${name}`);
}

/** Makes a user a member; already being one changes nothing. Locks: the row of `account_team`. @throws 23503 no such account or team */
export async function addMember(db: Db, member: { account: string; team: string }): Promise<void> {
  await db.query(
    sql`INSERT INTO account_team (account, team) VALUES (${member.account}, ${member.team}) ON CONFLICT DO NOTHING`,
  );
}

/** @returns whether the user was a member. Locks: the row of `account_team`. */
export async function removeMember(db: Db, member: { account: string; team: string }): Promise<boolean> {
  const rows = await db.query(
    sql`DELETE FROM account_team WHERE account = ${member.account} AND team = ${member.team} RETURNING team`,
  );
  return rows.length > 0;
}
