/** What is odd about a Dag, and does not keep it from being used. */
import { z } from 'zod';

/** By Airflow's names; those that a parse can find. */
export const dagWarning = z.strictObject({
  dag_id: z.string().min(1).max(250),
  warning_type: z.enum(['runtime varying value', 'asset conflict']),
  message: z.string().max(20_000),
});
export type DagWarning = z.infer<typeof dagWarning>;

/** Of one file. */
export const dagWarnings = z.array(dagWarning).max(1000);
