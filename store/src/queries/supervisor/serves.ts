import { type Db, sql } from '../../database.ts';

/** Notes which queues a worker serves; null = all. Writes only what is new. Locks: its row. */
export async function noteQueues(db: Db, o: { id: string; queues: readonly string[] | null }): Promise<void> {
  const queues = o.queues === null ? null : [...o.queues];
  await db.query(
    sql`UPDATE supervisor SET queues = ${queues}::text[], has_claimed = true
      WHERE id = ${o.id}::uuid AND (NOT has_claimed OR queues IS DISTINCT FROM ${queues}::text[])`,
    'supervisor_queues',
  );
}
