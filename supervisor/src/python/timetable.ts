/** One question to one timetable of the author's own: a fresh sandboxed child of the bundle, without network, token or database. */
import { isAppError } from '@airlock/contract/errors';
import type { TimetableQuestion } from '@airlock/contract/supervisor-api';
import { MAX_TIMETABLE_PROBLEM, type TimetableAnswer } from '@airlock/contract/timetables';
import type { SandboxedChild } from '@airlock/proc/sandbox/index';
import { followChild, lastWords } from '../follow-child.ts';
import { START_MS } from './parse.ts';
import type { PythonPool } from './pool.ts';

/** A child ends itself at the limit, with a traceback; this is for one that can't. */
const GRACE_MS = 2_000;
const MAX_SHOWN = 4_000;

export type AskTimetable = (
  question: TimetableQuestion,
  bundle: { readonly root: string },
  signal: AbortSignal,
) => Promise<TimetableAnswer>;

/** Every failure but a lost parent is an answer. @throws the reason of the signal */
export function makeAskTimetable(hosts: PythonPool, timeoutMs: number): AskTimetable {
  return async (question, { root }, signal) => {
    signal.throwIfAborted();
    let child: SandboxedChild;
    try {
      child = await hosts.take({ name: question.bundle_name, root });
    } catch (error) {
      if (!isAppError(error)) throw error;
      return problem(`${error.message} ${error.remedy}`);
    }
    return follow(child, question, root, timeoutMs, signal);
  };
}

const problem = (text: string): TimetableAnswer => ({ kind: 'problem', text: text.slice(0, MAX_TIMETABLE_PROBLEM) });

async function follow(
  child: SandboxedChild,
  { timetable, ask }: TimetableQuestion,
  root: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TimetableAnswer> {
  const stderr = lastWords(child, MAX_SHOWN);
  const { answer, late, broken, exit } = await followChild<TimetableAnswer>(child, {
    order: { type: 'ask_timetable', bundle_root: root, timetable, ask },
    onFrame(frame, answered) {
      if (frame.type === 'timetable_answered') answered(frame.answer);
      // No server is asked for a timetable: it gets what it was serialized with.
      if (frame.type === 'get_variable' || frame.type === 'get_connection') {
        const message = 'A timetable may read no variable and no connection.';
        child.send({ type: 'answer', id: frame.id, error: { status: 403, code: 'NOT_ENTITLED', message } });
      }
    },
    workMs: timeoutMs + GRACE_MS,
    startMs: START_MS,
    signal,
  });
  if (answer) return answer;
  if (late) return problem(`It took longer than ${timeoutMs / 1000} s and was stopped.`);
  if (broken !== null) return problem(`It sent something that is no answer: ${broken}.`);
  const how = exit.signal === null ? `status ${exit.code}` : `signal ${exit.signal}`;
  return problem(`Its process ended with ${how} before it could answer.\n${stderr()}`.trim());
}
