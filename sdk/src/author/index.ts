/**
 * `@airlock/sdk`: what a Dag file imports.
 * @see docs/writing-dags.md
 */
export { callback } from './callbacks.ts';
export { type Dag, dag } from './dag.ts';
export { DagError } from './dag-error.ts';
export type { Duration } from './duration.ts';
export {
  type CallbackNeeds,
  type Connection,
  type ConnectionHandle,
  connection,
  type NeedHandles,
  type NeedValues,
  type ResultHandle,
  result,
  type VariableHandle,
  variable,
} from './handles.ts';
export type { Json, NotJson } from './json.ts';
export { Fail, Skip } from './outcome.ts';
export type { ParamDeclaration, ParamInputs, ParamSchema, ParamValues } from './params.ts';
export type { Attempt, RetryDecision, RetryPolicy } from './retry-policy.ts';
export type { Schedule } from './schedule.ts';
export type { TaskStates } from './task-states.ts';
export type {
  CommonOptions,
  Context,
  DagBuilder,
  DagCallback,
  DagContext,
  DagOptions,
  Deadline,
  Input,
  Inputs,
  Logger,
  MapInputs,
  MapOptions,
  NeedyCallback,
  Node,
  RunEnd,
  RunInfo,
  SensorOptions,
  Task,
  TaskCallbacks,
  TaskInfo,
  TaskOptions,
  WaitOptions,
} from './types.ts';
export {
  type AssetEvent,
  type AssetOptions,
  type FileOptions,
  type HttpOptions,
  type Reads,
  type RunOptions,
  type TasksEvent,
  type TasksOptions,
  type Trigger,
  until,
} from './until.ts';
