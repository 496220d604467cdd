import { type Sql, sql } from '../../database.ts';
import type { XComTarget } from '../token/rights.ts';

/**
 * What is asked about XComs, as the value of one statement that gives a `T`: read it by `readForCaller` or `readForCallback`,
 * which look it up only where it may be.
 */
export type XComQuestion<T> = { readonly name: string; readonly value: Sql; readonly gives?: T };

/** XComs of one task and key in one run, or, with prior dates, in the newest run that has any and is not later. */
type Place = XComTarget & { readonly key: string };

/** Rows of the place, as `v`, with the newest run first when earlier ones count. */
function rowsOf(place: Place): Sql {
  const prior = place.priorDates ?? false;
  return sql`xcom v JOIN dag_run r ON r.id = v.dag_run_id
    JOIN dag_run o ON o.dag_id = ${place.dagId} AND o.run_id = ${place.runId} AND o.dag_id = r.dag_id
      AND (r.id = o.id OR (${prior}::boolean
        AND COALESCE(r.logical_date, r.run_after) <= COALESCE(o.logical_date, o.run_after)))
    WHERE v.task_id = ${place.taskId} AND v.key = ${place.key}
      AND (${place.mapIndex}::integer IS NULL OR v.map_index = ${place.mapIndex}::integer)`;
}

const NEWEST_FIRST = sql`COALESCE(r.logical_date, r.run_after) DESC, r.id DESC`;

/** One value as the JSON text that was sent; null = none. `place.mapIndex` is required. */
export function xcomValue(place: Place): XComQuestion<{ readonly text: string | null } | null> {
  return {
    name: 'xcom_get',
    value: sql`(SELECT json_build_object('text', v.value::text) FROM ${rowsOf(place)} ORDER BY ${NEWEST_FIRST} LIMIT 1)`,
  };
}

/** The n-th value by map index, from the end when `offset` is negative; null = out of range. `mapIndex` must be null. */
export function xcomItem(
  place: Place & { readonly offset: number; readonly skipNulls: boolean },
): XComQuestion<{ readonly text: string | null } | null> {
  const fromEnd = place.offset < 0;
  const skip = fromEnd ? -place.offset - 1 : place.offset;
  return {
    name: 'xcom_item',
    value: sql`(SELECT json_build_object('text', v.value::text) FROM ${rowsOf(place)}
      AND (NOT ${place.skipNulls}::boolean OR COALESCE(v.value::text, 'null') <> 'null')
      ORDER BY ${NEWEST_FIRST}, CASE WHEN ${fromEnd}::boolean THEN -v.map_index ELSE v.map_index END
      OFFSET ${skip}::integer LIMIT 1)`,
  };
}

/** All values by map index, each as its JSON text. `mapIndex` must be null. */
export function xcomList(place: Place): XComQuestion<string[] | null> {
  return {
    name: 'xcom_list',
    value: sql`(SELECT COALESCE(json_agg(COALESCE(x.text, 'null') ORDER BY x.map_index), '[]') FROM (
      SELECT v.value::text AS text, v.map_index, v.dag_run_id, first_value(v.dag_run_id) OVER (ORDER BY ${NEWEST_FIRST}) AS newest
      FROM ${rowsOf(place)}) x WHERE x.dag_run_id = x.newest)`,
  };
}

/** How many map indexes have a value. `mapIndex` must be null. */
export function xcomCount(place: Place): XComQuestion<number | null> {
  return { name: 'xcom_count', value: sql`(SELECT count(*)::integer FROM ${rowsOf(place)})` };
}
