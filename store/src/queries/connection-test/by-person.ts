import { type Db, sql } from '../../database.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

export type ConnectionTestRow = {
  readonly id: string;
  readonly conn_id: string;
  readonly state: string;
  readonly result_message: string | null;
  readonly created_at: string;
};

/** A test, without what it tests. Locks nothing. */
export async function getConnectionTest(db: Db, visible: Visible, id: string): Promise<ConnectionTestRow | null> {
  const seen = visibleIn(sql`team`, visible)[0] ?? sql`true`;
  const rows = await db.query<ConnectionTestRow>(
    sql`SELECT id, conn_id, state, result_message, created_at FROM connection_test WHERE id = ${id} AND ${seen}`,
  );
  return rows[0] ?? null;
}
