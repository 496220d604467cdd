import { bool, int, list, number } from './options.ts';

export const TRIGGERER_OPTIONS = {
  capacity: int(1000, {
    readers: ['supervisor'],
    unit: 'count',
    min: 1,
    max: 100_000,
    advice: 'Triggers that one triggerer runs at once.',
  }),
  triggerer_health_check_threshold: number(30, {
    readers: ['control'],
    unit: 's',
    min: 1,
    advice:
      'Silence after which a triggerer counts as dead: health says so, and the others take over what it ran within two seconds more.',
  }),
  runner_health_check_threshold: number(30, {
    readers: ['supervisor'],
    unit: 's',
    min: 0,
    advice:
      'Silence of the process that runs the triggers of a team after which it is killed and its triggers begin anew; 0 = never.',
  }),
  max_trigger_to_select_per_loop: int(50, {
    readers: ['supervisor'],
    unit: 'count',
    min: 1,
    max: 10_000,
    advice: 'Triggers that a triggerer takes in one request.',
  }),
  on_kill_timeout: number(30, {
    readers: ['supervisor'],
    unit: 's',
    min: 0,
    advice: 'Time that a trigger has for its `on_kill`, when a person ended the task that waits for it.',
  }),
  queues_enabled: bool(false, {
    readers: ['control', 'supervisor'],
    advice:
      'true: a trigger belongs to the queue of its task, and a triggerer runs those of its [triggerer] queues, or those of no queue.',
  }),
  queues: list([], {
    readers: ['supervisor'],
    unit: 'names',
    advice: 'Queues whose triggers this triggerer runs, with `queues_enabled`; empty = triggers of no queue.',
  }),
};
