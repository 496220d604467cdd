/** What a decision about one run is made from, and what it says. Pure data; instants are epoch ms. */
import type { TaskInstanceState } from '@airlock/contract/states';
import type { DagModel } from '../../domain/dag-model.ts';

export type State = TaskInstanceState | null;

export type TiView = {
  readonly id: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly state: State;
  readonly tryNumber: number;
  readonly versionId: string;
  /** Due instant of the next try or poke. */
  readonly retryAtMs: number | null;
  readonly rescheduleAtMs: number | null;
  /** When it was skipped; null for any other state. */
  readonly skippedAtMs: number | null;
};

export type RunView = {
  readonly id: number;
  readonly logicalDateMs: number | null;
  readonly startDateMs: number | null;
  /** The version in force: the run's own, or the Dag's newest. */
  readonly versionId: string;
  readonly paused: boolean;
};

/** A skip decision that a branching task published. */
export type SkipDecision = { readonly followed: readonly string[] } | { readonly skipped: readonly string[] };

export type RunSnapshot = {
  readonly nowMs: number;
  readonly run: RunView;
  readonly model: DagModel;
  readonly tis: readonly TiView[];
  /** Task id → length of the result of an unmapped task, once it has pushed one. */
  readonly lengths: ReadonlyMap<string, number>;
  /** Task id → number of results that the instances of a mapped task have pushed. */
  readonly resultCounts: ReadonlyMap<string, number>;
  /** `task_id#map_index` → what it said about its downstreams. */
  readonly skips: ReadonlyMap<string, SkipDecision>;
  /** `task_id#map_index` → state in the previous run; null = there is no previous run. */
  readonly previous: ReadonlyMap<string, State> | null;
};

/** A new value of an existing row, guarded by the state that it was decided on. */
export type TiChange = {
  readonly id: string;
  readonly from: State;
  readonly to: State;
  readonly tryNumber: number;
  readonly mapIndex: number;
  readonly versionId: string;
};

/** A row to add: an index of an expanded task, or a task that the newest version brought. */
export type TiAddition = {
  readonly taskId: string;
  readonly mapIndex: number;
  readonly state: State;
  readonly tryNumber: number;
};

export type EndReason = 'task_failure' | 'all_tasks_deadlocked' | 'timed_out';

export type Decision = {
  readonly changes: readonly TiChange[];
  readonly additions: readonly TiAddition[];
  readonly end: { readonly state: 'success' | 'failed'; readonly reason: EndReason | null } | null;
  /** When something becomes due without any event; null = nothing. */
  readonly wakeAtMs: number | null;
};

/** The task instance that has decided the end of its run: this one, or of those in this state the one that ended last. */
export type Decisive = { readonly id: string } | { readonly state: 'success' | 'failed' | 'skipped' };
