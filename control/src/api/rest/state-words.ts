/** Words of states and run types in filters; a wrong one is refused with a plain sentence. @see rest-api 1.8 */
import { AppError } from '@airlock/contract/errors';
import { DAG_RUN_STATES, DAG_RUN_TYPES, TASK_INSTANCE_STATES } from '@airlock/contract/states';

function refuse(what: string, valid: readonly string[]): never {
  throw new AppError('VALIDATION', { public: `Invalid value for ${what}. Valid values are ${valid.join(', ')}` });
}

/** `none` becomes null. @throws VALIDATION with a text */
export function checkRunStates(words: readonly string[]): Array<string | null> {
  return words.map((word) => {
    if (word === 'none') return null;
    return (DAG_RUN_STATES as readonly string[]).includes(word) ? word : refuse('state', DAG_RUN_STATES);
  });
}

/** `none` and `no_status` become null: no state. @throws VALIDATION with a text */
export function checkTaskStates(words: readonly string[]): Array<string | null> {
  return words.map((word) => {
    if (word === 'none' || word === 'no_status') return null;
    return (TASK_INSTANCE_STATES as readonly string[]).includes(word) ? word : refuse('state', TASK_INSTANCE_STATES);
  });
}

/** @throws VALIDATION with a text */
export function checkRunTypes(words: readonly string[]): string[] {
  return words.map((word) => {
    return (DAG_RUN_TYPES as readonly string[]).includes(word) ? word : refuse('run type', DAG_RUN_TYPES);
  });
}
