import { type Db, type Sql, sql } from '../../database.ts';
import { all, type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleDags } from '../team/visible.ts';

export type EventLogRow = {
  readonly id: number;
  readonly at: string;
  readonly event: string;
  readonly owner: string | null;
  readonly dag_id: string | null;
  readonly task_id: string | null;
  readonly run_id: string | null;
  readonly map_index: number | null;
  readonly try_number: number | null;
  readonly logical_date: string | null;
  readonly extra: string | null;
  readonly dag_display_name: string | null;
};

const text = (expr: Sql): Column => ({ expr, type: 'text' });
const instant = (expr: Sql): Column => ({ expr, type: 'timestamptz' });
const id: Column = { expr: sql`l.id`, type: 'int8' };
export const EVENT_LOG_ORDER: Readonly<Record<string, Column>> = {
  id,
  event_log_id: id,
  dttm: instant(sql`l.at`),
  when: instant(sql`l.at`),
  dag_id: text(sql`l.dag_id`),
  task_id: text(sql`l.task_id`),
  run_id: text(sql`l.run_id`),
  event: text(sql`l.event`),
  logical_date: instant(sql`l.logical_date`),
  owner: text(sql`l.owner`),
  extra: text(sql`l.extra`),
};
const SELECT = sql`l.id, l.at, l.event, l.owner, l.dag_id, l.task_id, l.run_id, l.map_index, l.try_number, l.logical_date,
  l.extra, (SELECT display_name FROM dag WHERE dag.dag_id = l.dag_id) AS dag_display_name`;
const TEXT_COLUMNS = {
  dag_id: sql`l.dag_id`,
  task_id: sql`l.task_id`,
  run_id: sql`l.run_id`,
  owner: sql`l.owner`,
  event: sql`l.event`,
} as const;

/** Who reads, and what he may see of Dags. */
export type EventLogReader = { readonly visible: Visible; readonly name: string };

/**
 * Rows of the team that their Dag had then, whoever has its id now; where it had none, rows of Dags that are visible now. Rows
 * about no Dag may name things of any team, so that members of teams see only their own.
 */
function visibleTo(reader: EventLogReader): Sql[] {
  if (reader.visible === 'all') return [];
  const [ofDags] = visibleDags(sql`l.dag_id`, reader.visible);
  return [
    sql`(l.team = ANY(${[...reader.visible.teams]}) OR (l.team IS NULL AND ${ofDags!})
      OR (l.dag_id IS NULL AND l.owner = ${reader.name}))`,
  ];
}

export type EventLogQuery = {
  readonly seenBy: EventLogReader;
  /** Exact values, by column. */
  readonly equal: Readonly<Partial<Record<keyof typeof TEXT_COLUMNS, string>>>;
  readonly pattern: Readonly<Partial<Record<keyof typeof TEXT_COLUMNS, string>>>;
  readonly prefix: Readonly<Partial<Record<keyof typeof TEXT_COLUMNS, string>>>;
  readonly mapIndex?: number;
  readonly tryNumber?: number;
  readonly included: readonly string[];
  readonly excluded: readonly string[];
  readonly before?: string;
  readonly after?: string;
  readonly order: readonly SortKey[];
  readonly limit: number;
  readonly offset: number;
};

/** A page of audit rows. Locks nothing. */
export async function listEventLogs(db: Db, query: EventLogQuery): Promise<{ rows: EventLogRow[]; total: number }> {
  const each = (
    values: Readonly<Partial<Record<keyof typeof TEXT_COLUMNS, string>>>,
    make: (column: Sql, value: string) => Sql,
  ): Sql[] =>
    (Object.keys(TEXT_COLUMNS) as Array<keyof typeof TEXT_COLUMNS>).flatMap((name) => {
      const value = values[name];
      return value === undefined ? [] : [make(TEXT_COLUMNS[name], value)];
    });
  return listPage<EventLogRow>(db, {
    select: SELECT,
    from: sql`event_log l`,
    where: [
      ...visibleTo(query.seenBy),
      ...each(query.equal, (column, value) => sql`${column} = ${value}`),
      ...each(query.pattern, (column, value) => contains(column, value)),
      ...each(query.prefix, (column, value) => startsWith(column, value)),
      ...(query.mapIndex === undefined ? [] : [sql`l.map_index = ${query.mapIndex}`]),
      ...(query.tryNumber === undefined ? [] : [sql`l.try_number = ${query.tryNumber}`]),
      ...(query.included.length === 0 ? [] : [sql`l.event = ANY(${[...query.included]})`]),
      ...(query.excluded.length === 0 ? [] : [sql`NOT l.event = ANY(${[...query.excluded]})`]),
      ...(query.before === undefined ? [] : [sql`l.at <= ${query.before}`]),
      ...(query.after === undefined ? [] : [sql`l.at >= ${query.after}`]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}

/** One audit row. */
export async function getEventLog(db: Db, seenBy: EventLogReader, logId: number): Promise<EventLogRow | null> {
  const where = all([sql`l.id = ${logId}`, ...visibleTo(seenBy)]);
  const rows = await db.query<EventLogRow>(sql`SELECT ${SELECT} FROM event_log l WHERE ${where}`);
  return rows[0] ?? null;
}
