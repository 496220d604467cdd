/**
 * Rights of a try as SQL over the caller's row `c`, so that what is not allowed is not even looked up. The same rules in
 * TypeScript decide the answer (control/src/api/execution/rights.ts); a test compares the two over the whole matrix.
 */
import { type Sql, sql } from '../../database.ts';

/** `[execution_api] rights_mode`. */
export type RightsMode = 'auto' | 'strict' | 'airflow';
export type RightsContext = { readonly mode: RightsMode; readonly multiTeam: boolean };

/** The try is held to its declared needs. */
function strict(mode: RightsMode): Sql {
  return sql`(${mode}::text = 'strict' OR (${mode}::text = 'auto' AND c.needs IS NOT NULL))`;
}

function declared(kind: 'variables' | 'connections' | 'xcoms' | 'dags', name: string | Sql): Sql {
  return sql`COALESCE(c.needs::jsonb -> ${kind}::text ? ${name}::text, false)`;
}

/** With teams: the Dag is of the caller's team, or of none. Needs choose from what this opens. */
function ofTeamOrNone({ multiTeam }: RightsContext, dagId: string): Sql {
  return sql`(NOT ${multiTeam}::boolean
    OR EXISTS (SELECT 1 FROM dag g WHERE g.dag_id = ${dagId} AND (g.team IS NULL OR g.team = c.team)))`;
}

/** With teams: the Dag is of the caller's team. */
function ofTeam({ multiTeam }: RightsContext, dagId: string): Sql {
  return sql`(NOT ${multiTeam}::boolean
    OR EXISTS (SELECT 1 FROM dag g WHERE g.dag_id = ${dagId} AND g.team IS NOT DISTINCT FROM c.team))`;
}

/** Runs of a Dag; null = whichever. */
export type RunsTarget = { readonly dagId: string; readonly runIds: readonly string[] | null };

/** The caller's own run, and no other. */
function ownRun({ dagId, runIds }: RunsTarget): Sql {
  return sql`(c.dag_id = ${dagId}
    AND COALESCE(${runIds}::text[] <@ ARRAY[c.run_id] AND cardinality(${runIds}::text[]) > 0, false))`;
}

/** A variable or connection of this name (a value, or SQL where a statement serves many) may be read. */
export function mayReadNamed(context: RightsContext, kind: 'variables' | 'connections', name: string | Sql): Sql {
  return sql`(NOT ${strict(context.mode)} OR ${declared(kind, name)})`;
}

/** Variables may be written at all: never under declared needs, which are about reading. */
export function mayWriteVariables(context: RightsContext): Sql {
  return sql`(NOT ${strict(context.mode)})`;
}

export type XComTarget = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  /** Null = whatever map index. */
  readonly mapIndex: number | null;
  /** Values of earlier runs count too. */
  readonly priorDates?: boolean;
};

/** XComs of this place are of the caller's own run, and no earlier one is meant. */
function ofOwnRun(target: XComTarget): Sql {
  return sql`(NOT ${target.priorDates ?? false}::boolean AND c.dag_id = ${target.dagId} AND c.run_id = ${target.runId})`;
}

/** Its task is the caller's own, or declared. */
function ofKnownTask(target: XComTarget): Sql {
  return sql`(COALESCE(c.task_id = ${target.taskId}, false) OR ${declared('xcoms', target.taskId)})`;
}

/** XComs of this place may be read by a callback: never beyond its own run, whatever the mode. */
export function mayReadXComOfRun(context: RightsContext, target: XComTarget): Sql {
  return sql`(${ofOwnRun(target)} AND (NOT ${strict(context.mode)} OR ${ofKnownTask(target)}))`;
}

/** XComs of this place may be read. */
export function mayReadXCom(context: RightsContext, target: XComTarget): Sql {
  return sql`CASE WHEN ${strict(context.mode)} THEN ${ofOwnRun(target)} AND ${ofKnownTask(target)}
    ELSE ${ofTeamOrNone(context, target.dagId)} END`;
}

/** The XCom of this place may be written or deleted. */
export function mayWriteXCom(context: RightsContext, target: XComTarget & { readonly mapIndex: number }): Sql {
  return sql`CASE WHEN ${strict(context.mode)} THEN c.dag_id = ${target.dagId} AND c.run_id = ${target.runId}
      AND c.task_id = ${target.taskId} AND c.map_index = ${target.mapIndex}::integer
    ELSE ${ofTeam(context, target.dagId)} END`;
}

export type InstancesTarget = RunsTarget & {
  /** The tasks and groups that are asked for, by id; null = all of the Dag. */
  readonly names: readonly string[] | null;
};

/**
 * Task instances may be counted and their states listed: those of the own run, and those of tasks that the needs name, each
 * as `dag_id/task_id`. @see decision 25
 */
export function mayReadStates(context: RightsContext, target: InstancesTarget): Sql {
  const declaredAs = target.names?.map((name) => `${target.dagId}/${name}`) ?? [];
  const all = sql`(cardinality(${declaredAs}::text[]) > 0
    AND COALESCE(c.needs::jsonb -> 'tasks' ?& ${declaredAs}::text[], false))`;
  return sql`CASE WHEN ${strict(context.mode)}
    THEN ${ownRun(target)} OR (${all} AND ${ofTeamOrNone(context, target.dagId)})
    ELSE ${ofTeamOrNone(context, target.dagId)} END`;
}

/** More than the states of task instances of this Dag may be read: when they ran, for how long, what operator. */
export function mayListInstances(context: RightsContext, target: RunsTarget): Sql {
  return sql`CASE WHEN ${strict(context.mode)} THEN ${ownRun(target)} ELSE ${ofTeamOrNone(context, target.dagId)} END`;
}

/** Runs of this Dag may be read. Beyond the own run only those of Dags that may be triggered. */
export function mayReadRuns(context: RightsContext, target: RunsTarget): Sql {
  return sql`CASE WHEN ${strict(context.mode)}
    THEN ${ownRun(target)} OR (${declared('dags', target.dagId)} AND ${ofTeamOrNone(context, target.dagId)})
    ELSE ${ofTeamOrNone(context, target.dagId)} END`;
}

/** What is known of this Dag may be read: the own one, and those that may be triggered. */
export function mayReadDag(context: RightsContext, dagId: string): Sql {
  return sql`CASE WHEN ${strict(context.mode)}
    THEN c.dag_id = ${dagId} OR (${declared('dags', dagId)} AND ${ofTeamOrNone(context, dagId)})
    ELSE ${ofTeamOrNone(context, dagId)} END`;
}

/** Runs of this Dag may be made and cleared. @see promise L15 */
export function mayTriggerDag(context: RightsContext, dagId: string): Sql {
  return sql`((NOT ${strict(context.mode)} OR ${declared('dags', dagId)}) AND ${ofTeam(context, dagId)})`;
}
