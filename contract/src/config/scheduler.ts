import { bool, int, number, text } from './options.ts';
import { REGULAR_EXPRESSION } from './rules.ts';

export const SCHEDULER_OPTIONS = {
  scheduler_heartbeat_sec: number(5, {
    readers: ['control'],
    unit: 's',
    min: 0.5,
    advice: 'How often a scheduler says that it is alive, and how often it looks without being told to.',
  }),
  scheduler_health_check_threshold: number(30, {
    readers: ['control'],
    unit: 's',
    min: 1,
    advice: 'Age of the last heartbeat that still counts as healthy, for schedulers and supervisors.',
  }),
  task_instance_heartbeat_timeout: number(300, {
    readers: ['control', 'supervisor'],
    unit: 's',
    min: 1,
    advice: 'Silence after which a running try counts as dead.',
  }),
  task_instance_heartbeat_timeout_detection_interval: number(10, {
    readers: ['control'],
    unit: 's',
    min: 0.1,
    advice: 'How often silent tries are looked for.',
  }),
  task_queued_timeout: number(600, {
    readers: ['control'],
    unit: 's',
    min: 1,
    max: 86_400,
    advice: 'Time that a task may wait for a worker, and the lifetime of its workload token.',
  }),
  use_job_schedule: bool(true, {
    readers: ['control'],
    advice: 'false: no scheduled run is made at all; manual ones still run.',
  }),
  max_tis_per_query: int(256, {
    readers: ['control'],
    unit: 'rows',
    min: 1,
    max: 10_000,
    advice: 'Task instances that are queued in one transaction.',
  }),
  max_dagruns_to_create_per_loop: int(10, {
    readers: ['control'],
    unit: 'count',
    min: 1,
    advice: 'Scheduled runs that are made in one transaction.',
  }),
  partition_mapper_max_downstream_keys: int(1000, {
    readers: ['control'],
    unit: 'count',
    min: 1,
    max: 10_000,
    advice: 'Partitions of a listening Dag that one event of an asset may go to, unless its mapper says otherwise.',
  }),
  allowed_run_id_pattern: text('^[A-Za-z0-9_.~:+-]+$', {
    readers: ['control'],
    unit: 'regular expression',
    rule: REGULAR_EXPRESSION,
    advice: 'Run ids that people may choose.',
  }),
};
