import { type Db, sql } from '../../database.ts';
import { listPage, type SortKey } from '../rest-list/compose.ts';

export type CallbackListRow = {
  readonly id: string;
  readonly kind: string;
  readonly event: string;
  readonly state: string;
  readonly reason: string | null;
  readonly task_id: string | null;
  readonly map_index: number | null;
  readonly try_number: number | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly ended_at: string | null;
  readonly message: string | null;
  readonly output: string | null;
};

const CREATED: SortKey = { column: { expr: sql`c.created_at`, type: 'timestamptz' }, descending: false };
const ID: SortKey = { column: { expr: sql`c.id`, type: 'uuid' }, descending: false };

/** Callbacks of one run, oldest first. Locks nothing. */
export async function listCallbacks(
  db: Db,
  of: { readonly dagRunId: number; readonly limit: number; readonly offset: number },
): Promise<{ rows: CallbackListRow[]; total: number }> {
  return listPage<CallbackListRow>(db, {
    select: sql`c.id, c.kind, c.event, CASE c.state WHEN 'claimed' THEN 'queued' ELSE c.state END AS state, c.reason,
      c.ti ->> 'task_id' AS task_id, (c.ti ->> 'map_index')::integer AS map_index,
      (c.ti ->> 'try_number')::integer AS try_number, c.created_at, c.exchanged_at AS started_at, c.ended_at, c.message, c.output`,
    from: sql`callback c`,
    where: [sql`c.dag_run_id = ${of.dagRunId}`],
    order: [CREATED, ID],
    limit: of.limit,
    offset: of.offset,
  });
}
