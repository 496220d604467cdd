/**
 * 300 random backfills: which runs are made, in which order, and why others are not, as Airflow 3.3.2 itself decided. Made by
 * control/test/airflow/backfills.py, which says how to make them again, also with another seed.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { TimetableDocument } from '@airlock/contract/dag/document';
import { AppError } from '@airlock/contract/errors';
import { type Db, sql } from '@airlock/store';
import { testDatabase } from '../../tests/kit/database.ts';
import { type BackfillRequest, createBackfill, planBackfill } from '../src/runs/index.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';

type Place = readonly [date: number, key: string | null, what: string];
type Line = {
  readonly t: TimetableDocument;
  readonly p: boolean;
  readonly a: readonly string[] | null;
  readonly n: number;
  readonly q: { from: number; to: number; backwards: boolean; reprocess: BackfillRequest['reprocess'] };
  readonly e: ReadonlyArray<readonly [date: number, state: string, start: number | null]>;
  readonly r: readonly Place[] | string;
};
const lines = gunzipSync(readFileSync(new URL('./data/backfills.jsonl.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((text) => JSON.parse(text) as Line);
const iso = (seconds: number) => new Date(seconds * 1000).toISOString();

/** What the classes of Airflow's errors come to on its wire. */
const CODES: Readonly<Record<string, string>> = {
  DagRunTypeNotAllowed: 'BAD_REQUEST',
  DagNonPeriodicScheduleException: 'VALIDATION',
  InvalidBackfillDate: 'VALIDATION',
  InvalidBackfillDateRange: 'VALIDATION',
  InvalidBackfillDirection: 'VALIDATION',
  InvalidReprocessBehavior: 'VALIDATION',
  NoBackfillRunsToCreate: 'VALIDATION',
};

async function withRuns(tx: Db, dagId: string, { e: runs }: Line, partitioned: boolean): Promise<Set<number>> {
  const rows = runs.map(([date, state, start], n) => ({
    run_id: `manual__${date}_${n}`,
    logical_date: partitioned ? null : iso(date),
    partition_date: partitioned ? iso(date) : null,
    state,
    start_date: start === null ? null : iso(start),
    run_after: iso(date),
  }));
  const made = await tx.query<{ id: number }>(
    sql`INSERT INTO dag_run (dag_id, run_id, run_type, triggered_by, state, logical_date, data_interval_start, data_interval_end,
        partition_date, partition_key, start_date, run_after, updated_at, created_version_id)
      SELECT ${dagId}, x.run_id, 'manual', 'rest_api', x.state, x.logical_date, x.logical_date, x.logical_date,
        x.partition_date, CASE WHEN x.partition_date IS NOT NULL THEN 'k' END, x.start_date, x.run_after, x.run_after, d.current_version_id
      FROM json_to_recordset(${JSON.stringify(rows)}::json) AS x (run_id text, state text, logical_date timestamptz,
        partition_date timestamptz, start_date timestamptz, run_after timestamptz) JOIN dag d ON d.dag_id = ${dagId}
      ORDER BY x.run_id RETURNING id`,
  );
  return new Set(made.map(({ id }) => id));
}

/** What we make of a line, in its own form. */
async function decided(tx: Db, dagId: string, line: Line): Promise<readonly Place[] | string> {
  const partitioned = String(line.t.__type).includes('Partition');
  const before = await withRuns(tx, dagId, line, partitioned);
  const { from, to, backwards, reprocess } = line.q;
  const request: BackfillRequest = {
    dagId,
    fromDate: iso(from),
    toDate: iso(to),
    backwards,
    reprocess,
    conf: null,
    maxActiveRuns: 10,
    runOnLatestVersion: null,
    rerunWithLatestVersion: null,
    user: 'u',
    nowIso: iso(line.n),
  };
  try {
    const plan = await planBackfill(tx, request);
    const id = await createBackfill(tx, request);
    const rows = await tx.query<{
      at: string | null;
      partition_key: string | null;
      what: string | null;
      run: number | null;
    }>(
      sql`SELECT COALESCE(p.logical_date, r.partition_date) AS at, p.partition_key, p.exception_reason AS what, p.dag_run_id AS run
        FROM backfill_dag_run p LEFT JOIN dag_run r ON r.id = p.dag_run_id WHERE p.backfill_id = ${id} ORDER BY p.sort_ordinal`,
    );
    equal(plan.length, rows.filter(({ run }) => run !== null).length, 'the dry run says how many');
    return rows.map(({ at, partition_key: key, what, run }): Place => {
      const date = at === null ? Number.NaN : Date.parse(at) / 1000;
      return [date, key, what ?? (before.has(run!) ? 'again' : 'new')];
    });
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}

class Undone extends Error {}

test('300 random backfills make what Airflow 3.3.2 makes of them', async (t) => {
  equal(lines.length, 300);
  await using database = await testDatabase();
  const { db } = database;
  await withBundle(db);
  const counts = new Map<string, number>();
  const different: string[] = [];
  for (const [n, line] of lines.entries()) {
    const dagId = `d${n}`;
    const continuous = String(line.t.__type).endsWith('ContinuousTimetable');
    const more = {
      ...(continuous && { max_active_runs: 1 }),
      timetable: line.t,
      start_date: 1_764_547_200,
      ...(line.a && { allowed_run_types: line.a }),
    };
    await ingest(db, `${dagId}.ts`, [dagDocument(dagId, [{ id: 't', depends_on_past: line.p }], more)], iso(line.n));
    let ours: readonly Place[] | string = '';
    await db
      .transaction(async (tx) => {
        ours = await decided(tx, dagId, line);
        throw new Undone();
      })
      .catch((error: unknown) => {
        if (!(error instanceof Undone)) throw error;
      });
    // The date of a partition that is skipped is in its key alone.
    const shown = (places: readonly Place[]) => places.map(([date, key, what]) => [key ?? date, what]);
    const theirs = typeof line.r === 'string' ? CODES[line.r] : shown(line.r);
    const given = typeof ours === 'string' ? ours : shown(ours);
    if (JSON.stringify(given) !== JSON.stringify(theirs))
      different.push(`${JSON.stringify(given)} for ${JSON.stringify(line)}`);
    for (const what of typeof line.r === 'string' ? [line.r] : line.r.map(([, , each]) => each))
      counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  deepEqual(different, []);
  for (const what of ['new', 'again', 'in flight', 'already exists', ...Object.keys(CODES)])
    ok((counts.get(what) ?? 0) > 0, `no line says ${what}`);
  t.diagnostic([...counts].map(([what, count]) => `${count} ${what}`).join(', '));
});
