import { type Db, sql } from '../../database.ts';
import { type Column, listPage, type SortKey } from '../rest-list/compose.ts';

export type DeadlineRow = {
  readonly id: string;
  readonly deadline_time: string;
  readonly missed: boolean;
  readonly created_at: string;
  readonly alert_name: string | null;
  readonly callback_id: string | null;
};

export const DEADLINE_ID: Column = { expr: sql`d.id`, type: 'uuid' };
export const DEADLINE_ORDER: Readonly<Record<string, Column>> = {
  id: DEADLINE_ID,
  deadline_time: { expr: sql`d.due_at`, type: 'timestamptz' },
  created_at: { expr: sql`d.created_at`, type: 'timestamptz' },
  last_updated_at: { expr: sql`d.updated_at`, type: 'timestamptz' },
  missed: { expr: sql`d.missed`, type: 'bool' },
};

/** Deadlines of one run. Locks nothing. */
export async function listDeadlines(
  db: Db,
  of: {
    readonly dagRunId: number;
    readonly missed: boolean | null;
    readonly order: readonly SortKey[];
    readonly limit: number;
    readonly offset: number;
  },
): Promise<{ rows: DeadlineRow[]; total: number }> {
  return listPage<DeadlineRow>(db, {
    select: sql`d.id, d.due_at AS deadline_time, d.missed, d.created_at, d.name AS alert_name, d.callback_id`,
    from: sql`deadline d`,
    where: [sql`d.dag_run_id = ${of.dagRunId}`, ...(of.missed === null ? [] : [sql`d.missed = ${of.missed}`])],
    order: of.order,
    limit: of.limit,
    offset: of.offset,
  });
}
