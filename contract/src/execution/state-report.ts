/**
 * Bodies of `PATCH /task-instances/{id}/state` that the wire knows, as far as a relay needs to be sure that the server will
 * take one: it answers in the server's place. What does not fit is not refused here but passed on. @see execution API 3.3
 */
import { z } from '../schema.ts';

const instant = z.iso.datetime({ offset: true });
const label = z.string().nullish();
const duration = z.union([z.string(), z.number()]).nullish();
const named = z.record(z.string(), z.unknown());
const asset = z.strictObject({ type: z.string(), name: z.string().nullish(), uri: z.string().nullish() });

export const stateReport = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('success'),
    end_date: instant,
    task_outlets: z.array(asset).optional(),
    outlet_events: z.array(named).optional(),
    rendered_map_index: label,
  }),
  z.strictObject({
    state: z.enum(['failed', 'skipped', 'removed', 'upstream_failed']),
    end_date: instant,
    rendered_map_index: label,
  }),
  z.strictObject({
    state: z.literal('up_for_retry'),
    end_date: instant,
    rendered_map_index: label,
    retry_delay_seconds: z.number().nullish(),
    retry_reason: z.string().nullish(),
  }),
  z.strictObject({
    state: z.literal('deferred'),
    classpath: z.string(),
    trigger_kwargs: z.union([z.string(), named]).optional(),
    trigger_timeout: duration,
    queue: z.string().nullish(),
    next_method: z.string(),
    next_kwargs: named.optional(),
    rendered_map_index: label,
  }),
  z.strictObject({ state: z.literal('up_for_reschedule'), reschedule_date: instant, end_date: instant }),
  z.strictObject({
    state: z.literal('awaiting_input'),
    next_method: z.string(),
    timeout: duration,
    next_kwargs: named.optional(),
    rendered_map_index: label,
  }),
]);
export type StateReport = z.infer<typeof stateReport>;
