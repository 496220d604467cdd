/**
 * What those operations answer that the reference does not have: for the OpenAPI document, and for the tests, which hold every
 * answer against them. Instants are RFC 3339 in UTC. Names begin with Airlock, so that none can be taken for one of the reference.
 */
import { NO_NEEDS } from '@airlock/contract/dag/needs';
import { z } from '@airlock/contract/schema';
import { CAUSES } from '../../scheduler/waiting-cause.ts';

const instant = z.string().meta({ format: 'date-time' });
const count = z.int().min(0);
const list = <const N extends string>(name: N, item: z.ZodType) =>
  z.strictObject({ [name]: z.array(item), total_entries: count } as Record<N | 'total_entries', z.ZodType>);

const callback = z.strictObject({
  id: z.uuid(),
  kind: z.enum(['dag', 'task', 'deadline']),
  event: z.string(),
  state: z.string(),
  reason: z.string().nullable(),
  task_id: z.string().nullable(),
  map_index: z.int().nullable(),
  try_number: z.int().nullable(),
  created_at: instant,
  started_at: instant.nullable(),
  ended_at: instant.nullable(),
  message: z.string().nullable(),
  output: z.string().nullable(),
});
const deadline = z.strictObject({
  id: z.uuid(),
  deadline_time: instant,
  missed: z.boolean(),
  created_at: instant,
  alert_name: z.string().nullable(),
  callback_id: z.uuid().nullable(),
  dag_id: z.string(),
  dag_run_id: z.string(),
});
const nextRun = z.strictObject({
  logical_date: instant.nullable(),
  data_interval_start: instant.nullable(),
  data_interval_end: instant.nullable(),
  run_after: instant,
  partition_key: z.string().nullable(),
});
const taskNeeds = z.strictObject({
  task_id: z.string(),
  needs: z.strictObject(Object.fromEntries(Object.keys(NO_NEEDS).map((kind) => [kind, z.array(z.string())]))),
  /** What no need can name. */
  beyond: z.array(z.strictObject({ kind: z.string(), name: z.string(), uses: count })),
});
const waiting = z.strictObject({
  task_id: z.string(),
  map_index: z.int(),
  state: z.string().nullable(),
  cause: z.enum(CAUSES),
  text: z.string(),
  until: instant.nullable(),
});

export const OWN_ANSWERS: Readonly<Record<string, z.ZodType>> = {
  AirlockCallbackCollection: list('callbacks', callback),
  AirlockDeadlineCollection: list('deadlines', deadline),
  AirlockNextRuns: list('next_runs', nextRun).extend({
    dag_id: z.string(),
    timetable: z.string().nullable(),
    /** What keeps the Dag from making runs now, or its timetable from naming more; null = nothing. */
    cause: z.string().nullable(),
  }),
  AirlockObservedNeeds: z.strictObject({ tasks: z.array(taskNeeds) }),
  AirlockWaitingCollection: list('waiting', waiting),
};
