/**
 * What a supervisor and the child that runs the triggers of one bundle say to each other, besides what every child says
 * (runner.ts). Each frame of the child names the trigger that it is about; the parent takes it only for one that it gave it.
 */
import { z } from 'zod';
import { triggerOutcome, triggerWorkload } from '../supervisor-api.ts';
import { LOG_LEVELS } from './log-levels.ts';

/** Parent → child: the first frame. */
export const startTriggers = z.strictObject({
  type: z.literal('triggers'),
  /** Root of the bundle, absolute, as the child sees it. */
  bundle_root: z.string(),
  /** Time that a trigger has for its `on_kill`. */
  on_kill_seconds: z.number(),
  /** Added to the environment before Airflow is imported. */
  env: z.record(z.string(), z.string()),
});
export const startTrigger = z.strictObject({ type: z.literal('trigger_start'), trigger: triggerWorkload });
/** Nobody waits for it here any more. `kill`: a person ended the task, so what it started elsewhere should end too. */
export const cancelTrigger = z.strictObject({ type: z.literal('trigger_cancel'), id: z.int(), kill: z.boolean() });

/** Child → parent. A call is answered by an `answer` of its id, whose value is `callAnswer`. */
export const triggerNotices = [
  z.strictObject({ type: z.literal('trigger_outcome'), trigger_id: z.int(), outcome: triggerOutcome }),
  /** An event of the asset that a trigger watches for. Answered when the server has it: true, or false when nobody wants it. */
  z.strictObject({
    type: z.literal('trigger_event'),
    id: z.int().min(0),
    trigger_id: z.int(),
    payload: z.string().min(1),
  }),
  z.strictObject({
    type: z.literal('trigger_log'),
    /** Null = of no trigger in particular. */
    trigger_id: z.int().nullable(),
    level: z.enum(LOG_LEVELS),
    event: z.string(),
    fields: z.record(z.string(), z.unknown()).optional(),
  }),
  /** A request to the Execution API, for the task that waits for this trigger. */
  z.strictObject({
    type: z.literal('trigger_call'),
    id: z.int().min(0),
    trigger_id: z.int(),
    method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']),
    path: z.string().startsWith('/').max(10_000),
    headers: z.record(z.string(), z.string()),
    body: z.string().nullable(),
  }),
  /** Each second, from the loop that runs the triggers: it is not stuck. */
  z.strictObject({ type: z.literal('beat') }),
] as const;
export type CallAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};
