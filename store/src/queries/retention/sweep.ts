/**
 * One round of retention: at most one batch of each growing table, each in a transaction of its own, so that a sweep never
 * holds up work for long. Several schedulers may sweep at once: they skip each other's rows.
 */
import type { Db } from '../../database.ts';
import { deleteOldConnectionTests } from './connection-tests.ts';
import { deleteOldDagRuns } from './dag-runs.ts';
import { deleteOldDagVersions, deleteUnusedModules } from './dag-versions.ts';
import { deleteOldEvents } from './event-log.ts';
import { deleteOldProcesses } from './processes.ts';
import { clearRenderedFields, dagsWithEndedRuns } from './rendered-fields.ts';
import { deleteExpiredState } from './task-state.ts';
import { deleteExpiredTokens } from './tokens.ts';

/** The options of `[retention]` and `[core] num_dag_runs_to_retain_rendered_fields`, under their own names. */
export type RetentionRules = {
  readonly dag_run_days: number;
  readonly event_log_days: number;
  readonly dag_versions: number;
  readonly job_days: number;
  readonly batch_rows: number;
  readonly rendered_fields_runs: number;
};

export type SweepResult = {
  /** Runs that are gone; the caller removes their logs. */
  readonly runs: ReadonlyArray<{ readonly dag_id: string; readonly run_id: string }>;
  /** Rows removed or cleared, by kind. */
  readonly counts: Readonly<Record<string, number>>;
  /** Some batch was full: sweep again soon. */
  readonly more: boolean;
};

const DAY_MS = 86_400_000;
/** Far beyond any leeway or clock skew that a token is judged with. */
const TOKEN_GRACE_MS = 3_600_000;

/** @param sinceMs end of the previous sweep; a little overlap does no harm */
export async function sweep(
  db: Db,
  options: { readonly nowMs: number; readonly sinceMs: number; readonly rules: RetentionRules },
): Promise<SweepResult> {
  const { nowMs, sinceMs, rules } = options;
  const limit = rules.batch_rows;
  const ago = (ms: number) => new Date(nowMs - ms).toISOString();

  const runs =
    rules.dag_run_days === 0
      ? []
      : await deleteOldDagRuns(db, { endedBefore: ago(rules.dag_run_days * DAY_MS), limit });
  const counts: Record<string, number> = { dag_run: runs.length };
  if (rules.event_log_days > 0) {
    counts.event_log = await deleteOldEvents(db, { before: ago(rules.event_log_days * DAY_MS), limit });
  }
  counts.token = await deleteExpiredTokens(db, { expiredBefore: ago(TOKEN_GRACE_MS), limit });
  counts.task_state = await deleteExpiredState(db, { expiredBefore: ago(0), limit });
  counts.connection_test = await deleteOldConnectionTests(db, { createdBefore: ago(DAY_MS), limit });
  counts.process = await deleteOldProcesses(db, { silentSince: ago(rules.job_days * DAY_MS), limit });
  counts.dag_version = await deleteOldDagVersions(db, { keep: rules.dag_versions, createdBefore: ago(DAY_MS), limit });
  counts.dag_module = await deleteUnusedModules(db, { createdBefore: ago(DAY_MS), limit });
  const more = Object.values(counts).some((count) => count >= limit);

  if (rules.rendered_fields_runs > 0) {
    counts.rendered_fields = 0;
    for (const dagId of await dagsWithEndedRuns(db, new Date(sinceMs).toISOString())) {
      const keepRuns = rules.rendered_fields_runs;
      counts.rendered_fields += await clearRenderedFields(db, { dagId, keepRuns, limit });
    }
  }
  return { runs, counts, more };
}
