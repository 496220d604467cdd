/**
 * 1,000 random schedules of assets, and whether Airflow 3.3.2 found them satisfied. Made by
 * control/test/airflow/asset_conditions.py, which says how to make them again, also with another seed.
 */
import { equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { DagDocument } from '@airlock/contract/dag/document';
import { readAssetCondition } from './asset-condition.ts';

type Line = {
  readonly a: ReadonlyArray<readonly [name: string, uri: string, active: boolean, aliases: string[]]>;
  readonly c: object;
  readonly q: readonly number[];
  readonly r: boolean;
};
const lines = gunzipSync(readFileSync(new URL('../../test/data/asset-conditions.jsonl.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((text) => JSON.parse(text) as Line);

test('1,000 random schedules of assets hold where they hold on Airflow 3.3.2', (t) => {
  equal(lines.length, 1000);
  for (const line of lines) {
    const timetable = {
      __type: 'airflow.timetables.simple.AssetTriggeredTimetable',
      __var: { asset_condition: line.c },
    };
    const condition = readAssetCondition({ dag: { timetable } } as unknown as DagDocument);
    const had = line.q.map((place) => {
      const [name, uri, active, aliases] = line.a[place]!;
      return { name, uri, active, aliases };
    });
    equal(condition?.(had), line.r, JSON.stringify(line));
  }
  const held = lines.filter(({ r }) => r).length;
  ok(held > 200 && held < 800);
  t.diagnostic(`${lines.length} equal, of which ${held} hold`);
});
