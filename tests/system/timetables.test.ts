/** A timetable of the author's own through a whole Airlock: its runs, a run by hand, and one that hangs beside it. */
import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { dagKnown, importErrorOf } from '../kit/api.ts';
import { startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const dag = (id: string, timetable: string) => `from own import ${timetable}
from pendulum import UTC, DateTime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("${id}", schedule=${timetable}(), start_date=DateTime(2026, 3, 27, tzinfo=UTC), end_date=DateTime(2026, 3, 31, tzinfo=UTC),
         catchup=True, max_active_runs=20, is_paused_upon_creation=False):
    EmptyOperator(task_id="t")
`;
/** 06:00 and 16:30 in Zurich, through the night of the 29th in which its clocks go forward. */
const ENDS = [
  '27T05:00',
  '27T15:30',
  '28T05:00',
  '28T15:30',
  '29T04:00',
  '29T14:30',
  '30T04:00',
  '30T14:30',
  '31T04:00',
];

test('its runs come with its intervals and names, one that hangs harms only itself', {
  skip: withoutPython,
}, async () => {
  ensureVenv(findPython()!);
  const plugins = mkdtempSync(join(tmpdir(), 'airlock-plugins-'));
  chmodSync(plugins, 0o755);
  cpSync(fileURLToPath(new URL('../../supervisor/test/kit/timetables.py', import.meta.url)), join(plugins, 'own.py'));
  try {
    await using airlock = await startStandalone({
      dags: { 'uneven.py': dag('uneven', 'UnevenIntervals'), 'hangs.py': dag('hangs', 'Endless') },
      env: {
        AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
        AIRLOCK__CORE__PLUGINS_FOLDER: plugins,
        // Long enough for a busy machine to answer the other in its time.
        AIRLOCK__CORE__DAGBAG_IMPORT_TIMEOUT: '20',
      },
    });
    type Run = { dag_run_id: string; data_interval_end: string; run_type: string };
    const runs = () =>
      airlock.api<{ dag_runs: Run[] }>('GET', '/api/v2/dags/uneven/dagRuns?order_by=run_after&limit=50');
    await dagKnown(airlock, 'uneven');
    const made = await waitFor(
      'all runs of the schedule',
      async () => {
        const { dag_runs } = await runs();
        return dag_runs.length >= ENDS.length ? dag_runs : null;
      },
      { timeoutMs: 120_000 },
    );
    assert.deepEqual(
      made.map((run) => [run.dag_run_id, run.data_interval_end]),
      ENDS.map((end) => [`scheduled-202603${end.replace(':', '')}`, `2026-03-${end}:00Z`]),
    );
    const body = { logical_date: '2026-07-01T12:00:00Z' };
    const manual = await airlock.api<Run>('POST', '/api/v2/dags/uneven/dagRuns', body);
    assert.deepEqual([manual.dag_run_id, manual.data_interval_end], ['manual-20260701T0400', '2026-07-01T04:00:00Z']);
    assert.match((await importErrorOf(airlock, 'hangs.py')).stack_trace, /took longer than 20 s and was stopped/);
    const next = await airlock.api<{ cause: string; total_entries: number }>('GET', '/api/v2/dags/hangs/nextRuns');
    assert.deepEqual([next.total_entries, /took longer/.test(next.cause)], [0, true]);
  } finally {
    rmSync(plugins, { recursive: true, force: true });
  }
});
