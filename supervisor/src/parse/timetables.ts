/**
 * Asks timetables of the authors' own for the server: takes a question, has it asked in a sandboxed child of its bundle, and
 * posts the answer. Apart from parses, so that a timetable that does not come to an end holds up none of them.
 * @see decision 24
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type TimetableQuestion, timetableAnswered, timetableClaimAnswer } from '@airlock/contract/supervisor-api';
import type { TimetableAnswer } from '@airlock/contract/timetables';
import type { AskTimetable } from '../python/timetable.ts';
import type { Role, RoleContext } from '../role-context.ts';

/** How long a request waits at the server; another bundle ends it early. */
const WAIT_SECONDS = 30;
const PAUSE_MS = 500;
const RETRY_MS = 5_000;

export type TimetableOptions = {
  /** Roots of the bundles that are open, by name. */
  readonly roots: () => ReadonlyMap<string, string>;
  readonly ask: AskTimetable;
  /** Children at once; of one bundle the server gives at most two. */
  readonly atOnce: number;
};

export type Timetables = Role & {
  /** Bundles were opened or closed. */
  readonly bundlesChanged: () => void;
};

/** Works until `stop`. Never throws: what fails is logged, and the server gives the question again. */
export function startTimetables(
  ctx: Pick<RoleContext, 'client' | 'token' | 'log'>,
  options: TimetableOptions,
): Timetables {
  const abort = new AbortController();
  const { signal } = abort;
  const running = new Map<string, Promise<void>>();
  let changed = new AbortController();
  let wake: () => void = () => undefined;
  const log = ctx.log.child({ role: 'dag-processor' });
  const post = (path: string, json: unknown, until: AbortSignal, more: { timeoutMs?: number; retry?: false } = {}) =>
    ctx.client.call({ token: ctx.token, method: 'POST', path, json, signal: until, ...more });

  const answer = async (question: TimetableQuestion): Promise<void> => {
    const root = options.roots().get(question.bundle_name);
    // Gone meanwhile: the server gives it to whoever has the bundle then.
    if (root === undefined) return;
    try {
      const found: TimetableAnswer = await options.ask(question, { root }, signal);
      if (found.kind === 'problem')
        log.warn({ dag_id: question.dag_id, problem: found.text.slice(-1000) }, 'a timetable has failed');
      const answered = await post(`/timetables/${question.id}/answer`, found, signal);
      if (answered.status !== 200) throw new Error(`the server refused the answer with ${answered.status}`);
      timetableAnswered.parse(answered.json());
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ err: error, dag_id: question.dag_id }, 'a timetable could not be asked; it will be tried again');
      // Held so long: what is not held is given again at once.
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  };
  const claim = async (): Promise<void> => {
    changed = new AbortController();
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const bundles = [...options.roots().keys()];
    const slots = options.atOnce - running.size;
    if (bundles.length === 0 || slots <= 0) {
      await Promise.race([woken, ...running.values()]);
      return;
    }
    const json = { bundles, slots, holds: [...running.keys()], wait_seconds: WAIT_SECONDS };
    const until = AbortSignal.any([signal, changed.signal]);
    const found = await post('/timetables/claim', json, until, { timeoutMs: (WAIT_SECONDS + 10) * 1000, retry: false });
    if (found.status !== 200) throw new Error(`the server gives no questions to timetables: ${found.status}`);
    for (const question of timetableClaimAnswer.parse(found.json()).questions) {
      if (running.has(question.id)) continue;
      running.set(
        question.id,
        answer(question).finally(() => running.delete(question.id)),
      );
    }
  };
  const loop = (async () => {
    while (!signal.aborted) {
      await claim().catch(async (error: unknown) => {
        if (signal.aborted || changed.signal.aborted) return;
        log.warn({ err: error }, 'asking for questions to timetables failed');
        await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined);
      });
    }
  })();
  const bundlesChanged = () => {
    changed.abort();
    wake();
  };
  return {
    bundlesChanged,
    async stop() {
      abort.abort(new Error('the dag-processor stops'));
      bundlesChanged();
      await loop;
      await Promise.allSettled(running.values());
    },
  };
}
