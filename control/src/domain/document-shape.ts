/**
 * The shape of a serialized Dag as far as Airlock reads it; unknown fields ride along.
 * `z.config({ jitless: true })` is the process's business; nothing here compiles code.
 */
import { z } from '@airlock/contract/schema';

const id = z
  .string()
  .min(1)
  .max(250)
  .regex(/^[\p{L}\p{N}_.-]+$/u, 'letters, digits, "-", "_" and "." only');
const seconds = z.number().min(0).max(1e11);
const instant = z.number().min(-1e11).max(1e11);
const name = z.string().min(1).max(256);
const text = z.string().max(1_000_000);
const count = z.int().min(0).max(1_000_000);
const positive = z.int().min(1).max(1_000_000);
const ids = z.array(id).max(10_000);
/** Only `true` is written; false and null mean the same here. */
const flag = z.boolean().nullish();
const pairs = z.array(z.tuple([z.string().min(1).max(250), z.unknown()])).max(1000);

const task = z.looseObject({
  task_id: id,
  task_type: text.optional(),
  _task_module: text.nullish(),
  _operator_name: text.nullish(),
  _task_display_name: text.nullish(),
  downstream_task_ids: ids.optional(),
  trigger_rule: z.string().max(100).optional(),
  depends_on_past: flag,
  wait_for_downstream: flag,
  ignore_first_depends_on_past: flag,
  retries: count.optional(),
  retry_delay: seconds.optional(),
  retry_exponential_backoff: z.union([z.boolean(), z.number().min(0).max(1000)]).optional(),
  max_retry_delay: seconds.nullish(),
  execution_timeout: seconds.nullish(),
  start_date: instant.nullish(),
  end_date: instant.nullish(),
  max_active_tis_per_dag: positive.nullish(),
  max_active_tis_per_dagrun: positive.nullish(),
  do_xcom_push: flag,
  pool: name.optional(),
  pool_slots: positive.optional(),
  priority_weight: z.int().min(-2_147_483_648).max(2_147_483_647).optional(),
  weight_rule: z.string().max(500).optional(),
  queue: name.optional(),
  executor: name.nullish(),
  owner: text.optional(),
  _is_empty: flag,
  _is_sensor: z.literal(true).optional(),
  reschedule: flag,
  _is_mapped: z.literal(true).optional(),
  _needs_expansion: flag,
  _expand_input_attr: z.string().max(250).optional(),
  partial_kwargs: z.record(z.string(), z.unknown()).optional(),
  is_setup: flag,
  is_teardown: flag,
  on_failure_fail_dagrun: flag,
  _can_skip_downstream: flag,
  template_fields: z.array(z.string()).max(1000).optional(),
  start_from_trigger: flag,
  start_trigger_args: z
    .looseObject({
      trigger_cls: z.string().min(1).max(1000),
      trigger_kwargs: z.unknown(),
      next_method: z.string().min(1).max(1000),
      next_kwargs: z.unknown(),
      timeout: seconds.nullish(),
    })
    .nullish(),
  inlets: z.array(z.unknown()).optional(),
  outlets: z.array(z.unknown()).optional(),
  params: pairs.optional(),
});

const dag = z.looseObject({
  dag_id: id,
  fileloc: z.string().min(1).max(4000),
  relative_fileloc: z.string().max(4000).optional(),
  timezone: z.union([z.string().max(100), z.int()]).optional(),
  timetable: z.looseObject({ __type: z.string().max(500), __var: z.record(z.string(), z.unknown()) }),
  catchup: flag,
  max_active_runs: positive.optional(),
  max_active_tasks: positive.optional(),
  max_consecutive_failed_dag_runs: count.optional(),
  disable_bundle_versioning: flag,
  tasks: z.array(z.looseObject({ __type: z.literal('operator'), __var: task })).max(10_000),
  params: pairs.optional(),
  allowed_run_types: z.array(z.string().max(100)).max(20).nullish(),
  start_date: instant.nullish(),
  end_date: instant.nullish(),
  dagrun_timeout: seconds.nullish(),
  description: text.nullish(),
  doc_md: text.nullish(),
  dag_display_name: z.string().max(2000).nullish(),
  tags: z.array(z.string().min(1).max(100)).max(1000).optional(),
  owner_links: z.record(z.string(), z.string()).optional(),
  is_paused_upon_creation: flag,
  fail_fast: flag,
  rerun_with_latest_version: z.boolean().nullish(),
});

/** The envelope: version 2 or 3; version 1 needs an Airflow 2 worker, which can't speak the task protocol. */
export const dagShape = z.strictObject({
  __version: z.union([z.literal(2), z.literal(3)]),
  client_defaults: z.looseObject({ tasks: z.record(z.string(), z.unknown()).optional() }).optional(),
  dag,
});
