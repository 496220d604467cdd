import { type Db, raw, sql } from '../../database.ts';
import { type Column, listPage, type SortKey } from '../rest-list/compose.ts';

export type BackfillRow = {
  readonly id: number;
  readonly dag_id: string;
  readonly team: string | null;
  readonly dag_display_name: string;
  readonly from_date: string;
  readonly to_date: string;
  readonly dag_run_conf: unknown;
  readonly is_paused: boolean;
  readonly reprocess_behavior: string;
  readonly max_active_runs: number;
  readonly created_at: string;
  readonly completed_at: string | null;
  readonly updated_at: string;
};

const COLUMNS = raw(
  'b.id, b.dag_id, d.team, d.display_name AS dag_display_name, b.from_date, b.to_date, b.dag_run_conf, b.is_paused, ' +
    'b.reprocess_behavior, b.max_active_runs, b.created_at, b.completed_at, b.updated_at',
);

export const BACKFILL_ORDER: Readonly<Record<string, Column>> = { id: { expr: raw('b.id'), type: 'int8' } };

export async function getBackfill(db: Db, id: number): Promise<BackfillRow | null> {
  const rows = await db.query<BackfillRow>(
    sql`SELECT ${COLUMNS} FROM backfill b JOIN dag d ON d.dag_id = b.dag_id WHERE b.id = ${id}`,
    'backfill_get',
  );
  return rows[0] ?? null;
}

/** Backfills of one Dag. Who may see the Dag is decided before. */
export async function listBackfills(
  db: Db,
  dagId: string,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: BackfillRow[]; total: number }> {
  return listPage<BackfillRow>(db, {
    select: COLUMNS,
    from: sql`backfill b JOIN dag d ON d.dag_id = b.dag_id`,
    where: [sql`b.dag_id = ${dagId}`],
    ...page,
  });
}
