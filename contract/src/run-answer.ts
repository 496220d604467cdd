/** What `/run` answers, as far as a TypeScript task needs it; unknown fields are the wire's business. */
import { z } from './schema.ts';

const instant = z.string().nullable().optional();
export const runAnswer = z.object({
  dag_run: z.object({
    dag_id: z.string(),
    run_id: z.string(),
    logical_date: instant,
    data_interval_start: instant,
    data_interval_end: instant,
    run_after: z.string(),
    run_type: z.string(),
    conf: z.record(z.string(), z.unknown()).nullable().optional(),
  }),
  task_reschedule_count: z.int().default(0),
  max_tries: z.int().default(0),
  should_retry: z.boolean().default(false),
  xcom_keys_to_clear: z.array(z.string()).default([]),
  /** Only where a stretch goes on after a wait: by which method, and with what. */
  next_method: z.string().nullish(),
  next_kwargs: z.unknown().optional(),
  /** Only on a resumed stretch: the first start of the try. */
  start_date: z.string().nullable().optional(),
});
export type RunAnswer = z.infer<typeof runAnswer>;
