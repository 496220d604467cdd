import { int, list, number, optionalText } from './options.ts';
import { QUEUE_NAME, VARIABLE_NAME } from './rules.ts';

export const WORKERS_OPTIONS = {
  queues: list(['*'], {
    readers: ['supervisor'],
    rule: QUEUE_NAME,
    advice: 'Queues that this worker serves; `*` = all.',
  }),
  runner_pool_size: int(2, {
    readers: ['supervisor'],
    unit: 'count',
    min: 0,
    max: 64,
    advice:
      'Idle runners started ahead, each used once. They hide the start of a process, and cost about 20 MB each; 0 = none.',
  }),
  command: optionalText({
    readers: ['supervisor'],
    unit: 'command line',
    advice:
      'Program that takes workloads of `command_queues` on standard input, split as a shell would, run without one.',
  }),
  command_queues: list([], {
    readers: ['control', 'supervisor'],
    rule: QUEUE_NAME,
    advice:
      'Queues of `command`; `*` = all but TypeScript tasks. Their tokens are plain bearers: list only what needs it.',
  }),
  command_env: list([], {
    readers: ['supervisor'],
    rule: VARIABLE_NAME,
    advice: 'Names of environment variables that `command` is given besides the usual ones.',
  }),
  min_heartbeat_interval: number(5, {
    readers: ['supervisor'],
    unit: 's',
    min: 0.1,
    advice: 'Shortest time between two heartbeats of a try.',
  }),
  max_failed_heartbeats: int(3, {
    readers: ['supervisor'],
    unit: 'count',
    min: 1,
    advice: 'Heartbeats that may fail in a row before the try is stopped.',
  }),
  execution_api_retries: int(5, {
    readers: ['supervisor'],
    unit: 'count',
    min: 1,
    advice: 'Attempts of one call to the Execution API.',
  }),
  execution_api_retry_wait_min: number(0.1, {
    readers: ['supervisor'],
    unit: 's',
    min: 0,
    advice: 'Shortest wait between them.',
  }),
  execution_api_retry_wait_max: number(10, {
    readers: ['supervisor'],
    unit: 's',
    min: 0,
    advice: 'Longest wait between them.',
  }),
  execution_api_timeout: number(5, {
    readers: ['supervisor'],
    unit: 's',
    min: 0.1,
    advice: 'Time that one call may take.',
  }),
  killed_task_cleanup_time: number(5, {
    readers: ['supervisor'],
    unit: 's',
    min: 0,
    advice: 'Time between asking a task to stop and killing it.',
  }),
};
