/** Why a task instance does not start yet, in words: the same checks that decide it, asked one by one. Pure. */
import type { Room } from '@airlock/store/queries/schedule/room';
import { createBoard } from './decide/board.ts';
import { pastAllows, ruleVerdict } from './decide/dependencies.ts';
import type { RunSnapshot, State } from './decide/types.ts';

/** Names are the reference's, since clients look for them. */
export type Reason = { readonly name: string; readonly reason: string };

/** @param runState state of the run now @param room its limits; null where they could not be read */
export function whyWaiting(
  snapshot: RunSnapshot,
  runState: string,
  ti: { readonly taskId: string; readonly mapIndex: number; readonly state: State },
  room: Room | null,
): Reason[] {
  const { model, run, nowMs } = snapshot;
  const reasons: Reason[] = [];
  const say = (name: string, reason: string) => reasons.push({ name, reason });
  if (run.paused) say('Dag Not Paused', `Task's DAG '${model.dagId}' is paused.`);
  if (runState !== 'running') {
    say('Dagrun Running', `Task instance's dagrun was not in the 'running' state but in the state '${runState}'.`);
  }
  if (run.logicalDateMs !== null && run.logicalDateMs > nowMs)
    say('Logical Date', 'The logical date is in the future.');
  const task = model.tasks.get(ti.taskId);
  if (ti.state === null) {
    say('Task Instance State', "Task is in the 'None' state.");
    if (task) {
      const board = createBoard(snapshot);
      if (ruleVerdict(model, board, task, ti.mapIndex) !== 'ready') {
        const states = task.upstream.map((id) => {
          const rows = board.rowsOf(id);
          return `${id} (${rows.length === 0 ? 'absent' : [...new Set(rows.map((row) => row.state ?? 'none'))].join(', ')})`;
        });
        say('Trigger Rule', `Task's trigger rule '${task.triggerRule}' is not met yet: ${states.join(', ')}.`);
      }
      if (!pastAllows(snapshot, task, ti.mapIndex)) {
        say('Previous Dagrun State', 'The task depends on its past, and in the previous run it has not succeeded.');
      }
    }
  }
  if (room) sayLimits(room, model.dagId, say);
  return reasons.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function sayLimits(room: Room, dagId: string, say: (name: string, reason: string) => void): void {
  const { pool, pool_slots: wanted, pool_size: size } = room;
  if (size === null) say('Pool Slots Available', `Tasks using non-existent pool '${pool}' will not be scheduled`);
  else if (size !== -1 && size - room.pool_taken < wanted) {
    const open = size - room.pool_taken;
    say(
      'Pool Slots Available',
      `Not scheduling since there are ${open} open slots in pool ${pool} and require ${wanted} pool slots`,
    );
  }
  if (room.active_in_run >= room.max_active_tasks) {
    say(
      'Task Instance Slots Available',
      `The maximum number of running tasks (${room.max_active_tasks}) for this task's DAG '${dagId}' has been reached.`,
    );
  }
  if (room.max_active_per_dag !== null && room.active_per_dag >= room.max_active_per_dag) {
    say('Task Concurrency', 'The max task concurrency has been reached.');
  } else if (room.max_active_per_run !== null && room.active_per_run >= room.max_active_per_run) {
    say('Task Concurrency', 'The max task concurrency per run has been reached.');
  }
}
