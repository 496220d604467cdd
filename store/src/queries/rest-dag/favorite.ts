import { type Db, sql } from '../../database.ts';

/** Stars a Dag for a user. Locks: the dag row against deletion. @throws 23505 it is starred already */
export async function addFavorite(db: Db, dagId: string, user: string): Promise<void> {
  await db.query(sql`INSERT INTO dag_favorite (user_name, dag_id) VALUES (${user}, ${dagId})`, 'favorite_add');
}

/** Takes the star away. @returns whether there was one */
export async function removeFavorite(db: Db, dagId: string, user: string): Promise<boolean> {
  const rows = await db.query(
    sql`DELETE FROM dag_favorite WHERE user_name = ${user} AND dag_id = ${dagId} RETURNING 1`,
    'favorite_remove',
  );
  return rows.length > 0;
}
