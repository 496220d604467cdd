import { type Db, sql } from '../../database.ts';

export type PoolValues = {
  readonly name: string;
  readonly slots: number;
  readonly description: string | null;
  readonly include_deferred: boolean;
  readonly team: string | null;
};

/** Inserts one pool. @returns false when the name exists already (nothing changed). Locks: that row of `slot_pool`. */
export async function insertPool(db: Db, values: PoolValues): Promise<boolean> {
  const rows = await db.query(
    sql`INSERT INTO slot_pool (name, slots, description, include_deferred, team)
      VALUES (${values.name}, ${values.slots}, ${values.description}, ${values.include_deferred}, ${values.team})
      ON CONFLICT (name) DO NOTHING RETURNING id`,
    'pool_insert',
  );
  return rows.length > 0;
}

/** Replaces all but the name. @returns whether the pool exists. Locks: that row. */
export async function updatePool(db: Db, values: PoolValues): Promise<boolean> {
  const rows = await db.query(
    sql`UPDATE slot_pool SET slots = ${values.slots}, description = ${values.description},
      include_deferred = ${values.include_deferred}, team = ${values.team} WHERE name = ${values.name} RETURNING id`,
    'pool_update',
  );
  return rows.length > 0;
}

/** @returns whether there was one. Locks: that row. */
export async function deletePool(db: Db, name: string): Promise<boolean> {
  const rows = await db.query(sql`DELETE FROM slot_pool WHERE name = ${name} RETURNING id`, 'pool_delete');
  return rows.length > 0;
}
