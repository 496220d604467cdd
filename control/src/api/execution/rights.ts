/**
 * What a try may name. Decided from its own row, before anything is looked up, so that a refusal says nothing about what
 * exists. The same rules stand in SQL (store/src/queries/token/rights.ts), where they keep the look-up from happening, and
 * where the team is looked at besides: what is not of the caller's team no needs open.
 * @see promises L6, L7, L14
 */
import { decodeNeeds, type Needs, NO_NEEDS } from '@airlock/contract/dag/needs';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import type { InstancesTarget, RightsContext, RunsTarget, XComTarget } from '@airlock/store/queries/token/rights';

/** The needs that bind this caller; null = it may use what Airflow allows. */
export function bindingNeeds(context: RightsContext, caller: Pick<CallerRow, 'needs'>): Needs | null {
  if (context.mode === 'airflow') return null;
  const declared = caller.needs === null ? null : decodeNeeds(caller.needs);
  return declared ?? (context.mode === 'strict' ? NO_NEEDS : null);
}

export function mayReadNamed(
  context: RightsContext,
  caller: Pick<CallerRow, 'needs'>,
  kind: 'variables' | 'connections',
  name: string,
): boolean {
  const needs = bindingNeeds(context, caller);
  return needs === null || needs[kind].includes(name);
}

export function mayWriteVariables(context: RightsContext, caller: Pick<CallerRow, 'needs'>): boolean {
  return bindingNeeds(context, caller) === null;
}

/** Of a try, or of a callback, which has no task of its own where it is that of a Dag. */
type InRun = Pick<CallerRow, 'dag_id' | 'run_id' | 'needs'> & { readonly task_id: string | null };

/** A callback reads XComs of its own run alone, whatever the mode. */
export function mayReadXComOfRun(context: RightsContext, caller: InRun, target: XComTarget): boolean {
  if (target.priorDates || target.dagId !== caller.dag_id || target.runId !== caller.run_id) return false;
  const needs = bindingNeeds(context, caller);
  return needs === null || target.taskId === caller.task_id || needs.xcoms.includes(target.taskId);
}

export function mayReadXCom(context: RightsContext, caller: CallerRow, target: XComTarget): boolean {
  return bindingNeeds(context, caller) === null || mayReadXComOfRun(context, caller, target);
}

export function mayWriteXCom(context: RightsContext, caller: CallerRow, target: XComTarget): boolean {
  if (bindingNeeds(context, caller) === null) return true;
  const { dagId, runId, taskId, mapIndex } = target;
  return (
    dagId === caller.dag_id && runId === caller.run_id && taskId === caller.task_id && mapIndex === caller.map_index
  );
}

/** The caller's own run, and no other. */
export function isOwnRun(caller: CallerRow, { dagId, runIds }: RunsTarget): boolean {
  return (
    dagId === caller.dag_id && runIds !== null && runIds.length > 0 && runIds.every((runId) => runId === caller.run_id)
  );
}

export function mayReadStates(context: RightsContext, caller: CallerRow, target: InstancesTarget): boolean {
  const needs = bindingNeeds(context, caller);
  if (needs === null || isOwnRun(caller, target)) return true;
  const names = target.names ?? [];
  return names.length > 0 && names.every((name) => needs.tasks.includes(`${target.dagId}/${name}`));
}

export function mayListInstances(context: RightsContext, caller: CallerRow, target: RunsTarget): boolean {
  return bindingNeeds(context, caller) === null || isOwnRun(caller, target);
}

export function mayReadRuns(context: RightsContext, caller: CallerRow, target: RunsTarget): boolean {
  const needs = bindingNeeds(context, caller);
  return needs === null || isOwnRun(caller, target) || needs.dags.includes(target.dagId);
}

export function mayReadDag(context: RightsContext, caller: CallerRow, dagId: string): boolean {
  const needs = bindingNeeds(context, caller);
  return needs === null || dagId === caller.dag_id || needs.dags.includes(dagId);
}

export function mayTriggerDag(context: RightsContext, caller: CallerRow, dagId: string): boolean {
  const needs = bindingNeeds(context, caller);
  return needs === null || needs.dags.includes(dagId);
}
