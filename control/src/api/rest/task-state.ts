/** Setting the state or the note of task instances by hand: what single ones, groups and bulk requests share. @see rest-api 5.4 */
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { selectRuns } from '@airlock/store/queries/rest-run/select';
import { setTaskNote, type TaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import type { TaskSelector } from '../../domain/clearing.ts';
import { setTaskInstanceState } from '../../runs/index.ts';
import { wireInstant } from '../http/instant.ts';
import { wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import type { RestContext } from './route.ts';
import { NOTE_MAX } from './run-changes.ts';

const flag = (fallback: boolean) => wire.bool().default(fallback);

/** An empty note is none. */
export async function writeNote(tx: Db, context: RestContext, id: string, note: string | null): Promise<void> {
  await setTaskNote(tx, { id, note: note || null, user: context.user.name, nowIso: context.nowIso });
}

const STATES = ['success', 'failed', 'skipped'] as const;
const newState = z
  .unknown()
  .meta({ type: 'string', enum: [...STATES] })
  .transform((value, ctx): (typeof STATES)[number] => {
    if (value === null) {
      return wireIssue(ctx, {
        type: 'value_error',
        msg: "Value error, 'new_state' should not be empty",
        ctx: { error: {} },
      });
    }
    const word = typeof value === 'string' ? STATES.find((state) => state === value.toLowerCase()) : undefined;
    if (word) return word;
    const error = `'${typeof value === 'string' ? value : '?'}' is not in ['success', 'failed', 'skipped']`;
    return wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
  });

export const patchFields = {
  new_state: newState.optional(),
  note: wire.text({ max: NOTE_MAX }).nullish(),
  include_upstream: flag(false),
  include_downstream: flag(false),
  include_future: flag(false),
  include_past: flag(false),
};
export const patchBody = z.strictObject(patchFields);
export type PatchBody = z.output<typeof patchBody>;

/** Runs before and after this one on the schedule's timeline, as far as they are asked for, and the run itself. */
async function runsAround(
  db: Db,
  row: TaskInstanceRow,
  body: { include_future: boolean; include_past: boolean },
): Promise<string[]> {
  if ((!body.include_future && !body.include_past) || row.logical_date === null) return [row.run_id];
  const at = wireInstant(row.logical_date);
  // The ends of time are bounds too: a run without a logical date is neither before nor after any other.
  const from = body.include_past ? '-infinity' : at;
  const range = { kind: 'range', from, to: body.include_future ? 'infinity' : at } as const;
  return (await selectRuns(db, row.dag_id, range)).map((run) => run.run_id);
}

/**
 * Sets the state that the body asks for, in the run of `anchor` and in those before and after it that the body includes.
 * @returns ids whose state was, or with `dryRun` would be, set
 */
export async function setStates(
  tx: Db,
  options: {
    readonly anchor: TaskInstanceRow;
    readonly tasks: readonly TaskSelector[];
    readonly body: PatchBody;
    readonly dryRun: boolean;
    readonly nowIso: string;
  },
): Promise<string[]> {
  const { anchor, tasks, body, dryRun, nowIso } = options;
  const changed: string[] = [];
  for (const runId of await runsAround(tx, anchor, body)) {
    const result = await setTaskInstanceState(tx, {
      dagId: anchor.dag_id,
      runId,
      tasks,
      includeUpstream: body.include_upstream,
      includeDownstream: body.include_downstream,
      state: body.new_state!,
      dryRun,
      nowIso,
    });
    changed.push(...result.changed);
  }
  return changed;
}
