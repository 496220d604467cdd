/**
 * What may get stuck, who finds it, and within what time: one owner and one bound for each. The sweep of a scheduler (whichever
 * takes the lock) judges by these; docs/runbook.md shows them.
 */

/** A claimed try that was not started within this time goes back to the queue. */
export const CLAIM_TIMEOUT_MS = 30_000;
/** A try that was handed out less than this ago may not have reached the supervisor's list yet. */
export const HANDOUT_GRACE_MS = 10_000;
/** Time that the process of a cleared try has to go before the next try begins. */
export const RESTART_GRACE_MS = 60_000;
/** Time after its deadline that a try's supervisor has to report by itself. */
export const DEADLINE_GRACE_MS = 10_000;
/** How often a try that waited too long goes back to `scheduled`, before it fails. */
export const MAX_QUEUE_RETURNS = 2;
/** A callback that no worker took within this time is not run any more. */
export const CALLBACK_WAIT_MS = 86_400_000;
/** A question to a timetable is forgotten by then: whoever asked has gone long since. */
export const QUESTION_KEPT_MS = 600_000;
/** How long what a lost event would have told stays unseen. */
export const RESYNC_MS = 60_000;

export type Bound = {
  readonly stuck: string;
  readonly owner: string;
  /** An option, `[section] name`, or a time. */
  readonly bound: string;
  readonly outcome: string;
  /** File and name of the test that measures it. */
  readonly test: readonly [file: string, name: string];
};

const seconds = (ms: number): string => `${ms / 1000} s`;
const SWEEP = 'sweep';
const LIVENESS = 'control/test/liveness.int.test.ts';
const DEFERRAL = 'control/test/execution/deferral.int.test.ts';
const SCHEDULER = 'control/test/scheduler.int.test.ts';

export const BOUNDS: readonly Bound[] = [
  {
    stuck: 'a try that no worker takes (`queued`)',
    owner: SWEEP,
    bound: '`[scheduler] task_queued_timeout`',
    outcome: `back to \`scheduled\` ${MAX_QUEUE_RETURNS} times, then it fails`,
    test: [LIVENESS, 'a try in the queue for too long returns twice'],
  },
  {
    stuck: 'a try of TypeScript that a worker took and does not start',
    owner: SWEEP,
    bound: seconds(CLAIM_TIMEOUT_MS),
    outcome: 'back to the queue, same try',
    test: [LIVENESS, 'a claim without a start within 30 s goes back'],
  },
  {
    stuck: 'what a worker holds that has fallen silent or ended',
    owner: SWEEP,
    bound: '`[scheduler] scheduler_health_check_threshold`; ended: at once',
    outcome: 'claimed tries go back to the queue, running ones fail or are retried',
    test: [LIVENESS, 'what a host held is taken back or ended'],
  },
  {
    stuck: 'an orphan: a try that its worker no longer lists',
    owner: "the worker's heartbeat, each 5 s",
    bound: `the next heartbeat, ${seconds(HANDOUT_GRACE_MS)} after it was handed out`,
    outcome: 'fails or is retried',
    test: [LIVENESS, 'a try that its supervisor no longer lists is ended'],
  },
  {
    stuck: 'a running try without heartbeats',
    owner: SWEEP,
    bound: '`[scheduler] task_instance_heartbeat_timeout`',
    outcome: 'fails or is retried',
    test: [LIVENESS, 'a try that is silent beyond the time-out is ended'],
  },
  {
    stuck: 'a running try beyond its `execution_timeout`',
    owner: 'its supervisor; the sweep where that does not',
    bound: `its deadline; ${seconds(DEADLINE_GRACE_MS)} more`,
    outcome: 'fails or is retried',
    test: [LIVENESS, 'a try past its deadline is ended'],
  },
  {
    stuck: 'a cleared try whose process does not go (`restarting`)',
    owner: SWEEP,
    bound: seconds(RESTART_GRACE_MS),
    outcome: 'the next try begins; the old one has no token',
    test: [LIVENESS, 'a cleared try goes on when its old host says'],
  },
  {
    stuck: 'a wait beyond its own time (`deferred`, `awaiting_input`)',
    owner: SWEEP,
    bound: 'the time-out that the task gave',
    outcome: 'the task goes on, to fail or with the default answer',
    test: [DEFERRAL, 'past its time the try goes on to fail'],
  },
  {
    stuck: 'triggers of a triggerer that has fallen silent',
    owner: 'the next triggerer that asks',
    bound: '`[triggerer] triggerer_health_check_threshold`',
    outcome: 'it runs them from their arguments',
    test: [DEFERRAL, 'a trigger has one owner: handed on when that one is dead'],
  },
  {
    stuck: 'a run beyond its `dagrun_timeout`',
    owner: 'the decision about the run',
    bound: 'the timeout',
    outcome: 'fails; what is left of it is skipped',
    test: [SCHEDULER, 'a run that takes longer than its Dag allows fails'],
  },
  {
    stuck: 'a callback that no worker takes',
    owner: SWEEP,
    bound: seconds(CALLBACK_WAIT_MS),
    outcome: 'is not run',
    test: ['control/test/callbacks.int.test.ts', 'the sweep gives back what no worker began'],
  },
  {
    stuck: 'what the event of another process would have told (a retry or poke that is due, a new run)',
    owner: 'every scheduler',
    bound: `\`[scheduler] scheduler_heartbeat_sec\`, at most ${seconds(RESYNC_MS)}`,
    outcome: 'is decided',
    test: ['control/test/scheduler-live.int.test.ts', 'PostgreSQL is killed and started again'],
  },
];
