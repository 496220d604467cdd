/**
 * Why a Dag with a schedule makes no run now, whatever its schedule says: the first thing that would have to change, or null.
 * Pure. The checks are those under which runs are made.
 */
import type { ScheduleFacts } from '@airlock/store/queries/schedule/no-run';

const MOST_NAMES = 10;

/** @param makesRuns `[scheduler] use_job_schedule` @param byAssets events of assets make its runs */
export function noRunCause(facts: ScheduleFacts, makesRuns: boolean, byAssets: boolean): string | null {
  if (facts.is_stale) return 'The Dag is no longer in any file, and makes no run.';
  if (facts.is_paused) {
    const failed = facts.max_failed > 0 && facts.failed === facts.max_failed;
    const why = failed ? `, as it is when its last ${facts.max_failed} runs have failed` : '';
    return `The Dag is paused${why}, and makes no run until it is unpaused.`;
  }
  if (facts.has_import_errors)
    return 'The file of the Dag can not be read (airlock dags errors), and makes no run until it can.';
  if (facts.schedulers === 0) return 'No scheduler is alive.';
  if (!makesRuns && !byAssets) return '[scheduler] use_job_schedule is off: no run is made by a schedule.';
  if (facts.active_runs >= facts.max_active_runs)
    return `${facts.active_runs} of at most ${facts.max_active_runs} runs are queued or running; the next is made when one has ended.`;
  if (!byAssets) return null;
  const { missing_assets: missing } = facts;
  if (missing.length === 0) return null;
  const more = missing.length > MOST_NAMES ? ` and ${missing.length - MOST_NAMES} more` : '';
  return `No event has come since its last run of: ${missing.slice(0, MOST_NAMES).join(', ')}${more}.`;
}
