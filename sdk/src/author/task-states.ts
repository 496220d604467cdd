/** Which states of tasks end a wait for them, and how. */
import { TASK_INSTANCE_STATES, type TaskInstanceState } from '@airlock/contract/states';
import { DagError, show } from './dag-error.ts';

/** States of tasks; one stands in one list. */
export interface TaskStates {
  /** All have to be in one of these. Default `success`. */
  readonly allowedStates?: readonly TaskInstanceState[];
  /** One in one of these fails the wait. Default `failed` and `upstream_failed`. */
  readonly failedStates?: readonly TaskInstanceState[];
  /** One in one of these skips it, unless another fails it. Default `skipped`. */
  readonly skippedStates?: readonly TaskInstanceState[];
}

const DEFAULTS = {
  allowedStates: ['success'],
  failedStates: ['failed', 'upstream_failed'],
  skippedStates: ['skipped'],
} as const satisfies TaskStates;
type Key = keyof typeof DEFAULTS;
const KEYS = Object.keys(DEFAULTS) as Key[];

/** The three lists, as the trigger takes them. A default gives way to a list that names its state. @throws DagError */
export function readStates(where: string, options: TaskStates) {
  const given = new Map(
    KEYS.map((key) => [key, options[key] === undefined ? null : checked(where, key, options[key])]),
  );
  const named = [...given.values()].flatMap((list) => list ?? []);
  const twice = named.find((state, at) => named.indexOf(state) !== at);
  if (twice !== undefined)
    throw new DagError(
      `${where}: ${twice} is named twice.`,
      'Name each state in one list: it ends the wait in one way.',
    );
  const of = (key: Key): readonly string[] => given.get(key) ?? DEFAULTS[key].filter((state) => !named.includes(state));
  const allowed = of('allowedStates');
  if (allowed.length === 0)
    throw new DagError(`${where}: nothing ends the wait well.`, "Write allowedStates: ['success'].");
  return { allowed_states: allowed, failed_states: of('failedStates'), skipped_states: of('skippedStates') };
}

function checked(where: string, key: Key, value: unknown): readonly string[] {
  const isState = (state: unknown) => TASK_INSTANCE_STATES.some((known) => known === state);
  if (Array.isArray(value) && value.every(isState)) return value as string[];
  throw new DagError(
    `${where}: ${key} is ${show(value)}, no list of states.`,
    `States are ${TASK_INSTANCE_STATES.join(', ')}.`,
  );
}
