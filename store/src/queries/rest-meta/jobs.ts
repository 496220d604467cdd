import { type Db, sql } from '../../database.ts';
import { type Column, inOpenRange, inRange, listPage, type Range, type SortKey } from '../rest-list/compose.ts';

export type JobRow = {
  readonly id: number;
  readonly job_type: string;
  readonly state: string;
  readonly hostname: string;
  readonly unixname: string;
  readonly start_date: string;
  readonly end_date: string | null;
  readonly latest_heartbeat: string;
};

const text = (expr: Column['expr']): Column => ({ expr, type: 'text' });
const instant = (expr: Column['expr']): Column => ({ expr, type: 'timestamptz' });
export const JOB_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`j.id`, type: 'int8' },
  state: text(sql`j.state`),
  job_type: text(sql`j.job_type`),
  start_date: instant(sql`j.start_date`),
  end_date: instant(sql`j.end_date`),
  latest_heartbeat: instant(sql`j.latest_heartbeat`),
  hostname: text(sql`j.hostname`),
  unixname: text(sql`j.unixname`),
};

/** A page of scheduler, triggerer and dag-processor rows. Locks nothing. */
export async function listJobs(
  db: Db,
  query: {
    nowIso: string;
    jobType?: string;
    state?: string;
    hostname?: string;
    startDate: Range<string>;
    endDate: Range<string>;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: JobRow[]; total: number }> {
  return listPage<JobRow>(db, {
    select: sql`j.id, j.job_type, j.state, j.hostname, j.unixname, j.start_date, j.end_date, j.latest_heartbeat`,
    from: sql`job j`,
    where: [
      ...(query.jobType === undefined ? [] : [sql`j.job_type = ${query.jobType}`]),
      ...(query.state === undefined ? [] : [sql`j.state = ${query.state}`]),
      ...(query.hostname === undefined ? [] : [sql`j.hostname = ${query.hostname}`]),
      ...inRange(sql`j.start_date`, query.startDate),
      ...inOpenRange(sql`j.end_date`, query.endDate, query.nowIso),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}
