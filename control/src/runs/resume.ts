/** Tries that wait for people go on: with an answer, with the defaults, or to fail. @see scheduling semantics 7.6 */
import { parseExact } from '@airlock/contract/exact-json';
import type { Db } from '@airlock/store';
import { answerByDefaults, lockAnswered, resumeTries, type WaitingTry } from '@airlock/store/queries/hitl/resume';
import { answerEvent, defaultInput, storedAnswerEvent, TIMEOUT_EVENT, withEvent } from '../domain/hitl.ts';

/** Most tries that one transaction takes up. */
const MAX_TRIES = 100;

/**
 * Takes up the tries whose answer is there or whose time is over; each is `scheduled` again in the same try.
 * Locks: their rows, then their requests.
 * @param o.ids only these, such as the one that was just answered; absent = all
 * @returns how many go on
 */
export async function resumeAnswered(
  tx: Db,
  o: { readonly ids?: readonly string[]; readonly nowIso: string },
): Promise<number> {
  const tries = await lockAnswered(tx, { ids: o.ids ?? null, nowIso: o.nowIso, limit: MAX_TRIES });
  const defaults = tries.filter((each) => each.responded_at === null && each.defaults !== null);
  await answerByDefaults(
    tx,
    defaults.map(({ id, defaults: chosen, params }) => ({
      id,
      chosen: chosen ?? [],
      input: defaultInput(params ?? {}),
    })),
    o.nowIso,
  );
  await resumeTries(
    tx,
    tries.map((each) => ({
      id: each.id,
      kwargs: withEvent(parseExact(each.next_kwargs ?? '{}'), eventOf(each, o.nowIso)),
    })),
    o.nowIso,
  );
  return tries.length;
}

function eventOf(waiting: WaitingTry, nowIso: string): object {
  const answered = storedAnswerEvent(waiting);
  if (answered) return answered;
  if (waiting.defaults === null) return TIMEOUT_EVENT;
  return answerEvent({
    chosenOptions: waiting.defaults,
    paramsInput: defaultInput(waiting.params ?? {}),
    respondedAtMs: Date.parse(nowIso),
    by: null,
    timedOut: true,
  });
}
