/** How a run is shown to a task, in the newest version. @see execution API 3.2 */
import { parseExact } from '@airlock/contract/exact-json';
import type { DagRunContext } from '@airlock/contract/execution/run-context';
import type { RunFacts } from '@airlock/store/queries/dag-run/facts';
import { wireInstant } from '../http/instant.ts';

export function dagRunContext(
  run: RunFacts,
  more: Partial<Pick<DagRunContext, 'consumed_asset_events' | 'team_name'>> = {},
): DagRunContext {
  return {
    dag_id: run.dag_id,
    run_id: run.run_id,
    logical_date: wireInstant(run.logical_date),
    data_interval_start: wireInstant(run.data_interval_start),
    data_interval_end: wireInstant(run.data_interval_end),
    run_after: wireInstant(run.run_after),
    start_date: wireInstant(run.start_date),
    end_date: wireInstant(run.end_date),
    clear_number: run.clear_number,
    run_type: run.run_type,
    state: run.state,
    conf: parseExact(run.conf),
    triggering_user_name: run.triggering_user_name,
    consumed_asset_events: more.consumed_asset_events ?? [],
    partition_key: run.partition_key,
    partition_date: wireInstant(run.partition_date),
    note: run.note,
    team_name: more.team_name ?? null,
  };
}
