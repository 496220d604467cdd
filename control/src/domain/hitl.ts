/** What a try that waited for a person is told when it goes on. Pure. @see scheduling semantics 7.6; execution API 8.2 */

import { sdkInstant } from './sdk-values.ts';

export type Answer = {
  readonly chosenOptions: readonly string[];
  readonly paramsInput: Readonly<Record<string, unknown>>;
  readonly respondedAtMs: number;
  /** Null = nobody: the defaults were taken. */
  readonly by: { readonly id: string; readonly name: string } | null;
  readonly timedOut: boolean;
};

/** The event of an answer, as `execute_complete` of the operator reads it. */
export function answerEvent(answer: Answer): object {
  return {
    chosen_options: answer.chosenOptions,
    params_input: answer.paramsInput,
    responded_at: sdkInstant(answer.respondedAtMs / 1000),
    responded_by_user: answer.by,
    timedout: answer.timedOut,
  };
}

/** What is stored of a request's answer. */
export type StoredAnswer = {
  readonly responded_at: string | null;
  readonly responded_by_id: string | null;
  readonly responded_by_name: string | null;
  readonly chosen_options: readonly string[] | null;
  readonly params_input: Readonly<Record<string, unknown>> | null;
};

/** The event of a stored answer; null = there is none. */
export function storedAnswerEvent(stored: StoredAnswer): object | null {
  const { responded_at: at, responded_by_id: id } = stored;
  if (at === null) return null;
  return answerEvent({
    chosenOptions: stored.chosen_options ?? [],
    paramsInput: stored.params_input ?? {},
    respondedAtMs: Date.parse(at),
    by: id === null ? null : { id, name: stored.responded_by_name ?? id },
    timedOut: false,
  });
}

/** The event of a time that is over with no answer and no defaults: the task fails by itself. */
export const TIMEOUT_EVENT = {
  error: 'The Human-in-the-loop response timeout has passed without a response.',
  error_type: 'timeout',
};

/** The values of a request's params, where nobody gave others. */
export function defaultInput(params: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const plain = (param: unknown) =>
    typeof param === 'object' && param !== null && 'value' in param ? param.value : param;
  return Object.fromEntries(Object.entries(params).map(([name, param]) => [name, plain(param)]));
}

/** Arguments with the event laid in; what a worker sent that is no object counts as none. */
export function withEvent(kwargs: unknown, event: unknown): object {
  const given = typeof kwargs === 'object' && kwargs !== null && !Array.isArray(kwargs) ? kwargs : {};
  return { ...given, event };
}
