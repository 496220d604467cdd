/** How dag-processors are given questions to timetables of the authors' own, and answer them. @see decision 24 */
import { isUuid } from '@airlock/contract/ids';
import {
  type TimetableQuestion,
  timetableAnswer,
  timetableClaim,
  timetableQuestion,
} from '@airlock/contract/supervisor-api';
import { type ClaimedQuestion, claimQuestions } from '@airlock/store/queries/timetable/answer';
import { waitForEvents } from '../../../executors/wait.ts';
import { takeAnswer } from '../../../runs/asked-timetables.ts';
import { nowIso } from '../../http/instant.ts';
import { parseBody } from '../../http/validation.ts';
import { forSupervisor } from './supervisors.ts';

/** A dag-processor has answered by then, or never will: it starts a child, which imports Airflow, and has its time limit. */
const CLAIM_MS = 180_000;

export const claim = forSupervisor(async (context, call, supervisor) => {
  const { bundles: named, slots, holds, wait_seconds } = parseBody(timetableClaim, call.request);
  // What it may not parse it is not asked about either.
  const bundles = named.filter((name) => supervisor.bundles === null || supervisor.bundles.includes(name));
  const { clock, db, events, log } = context.deps;
  const gone = new AbortController();
  const onClose = () => gone.abort();
  call.request.raw.socket.once('close', onClose);
  try {
    const signal = AbortSignal.any([gone.signal, context.closing]);
    const untilMs = call.nowMs + wait_seconds * 1000;
    const found = await waitForEvents({ events, clock, kinds: ['timetable'], untilMs, signal }, async () => {
      const now = clock.nowMs();
      const rows = await claimQuestions(db, {
        supervisorId: call.identity.claims.sub,
        bundles,
        limit: slots,
        holds: holds.filter(isUuid),
        claimedBeforeIso: nowIso(now - CLAIM_MS),
        nowIso: nowIso(now),
      });
      const questions = rows.map(asQuestion).filter((question) => question !== null);
      if (questions.length < rows.length) log.error({ rows: rows.length }, 'a question to a timetable can not be read');
      return questions.length > 0 ? questions : null;
    });
    return { status: 200, body: { questions: found ?? [] } };
  } finally {
    call.request.raw.socket.off('close', onClose);
  }
});

function asQuestion(row: ClaimedQuestion): TimetableQuestion | null {
  const timetable = row.timetable as { __type: string; __var: Record<string, unknown> };
  const read = timetableQuestion.safeParse({ ...row, timetable: { __type: timetable.__type, __var: timetable.__var } });
  return read.success ? read.data : null;
}

export const answer = forSupervisor(async (context, call) => {
  const body = parseBody(timetableAnswer, call.request);
  const id = call.params.question_id ?? '';
  const supervisorId = call.identity.claims.sub;
  // Whatever it names, the one answer for what is not its own is that nobody waits.
  const accepted =
    isUuid(id) &&
    (await context.db.transaction((tx) => takeAnswer(tx, { id, supervisorId, answer: body, nowIso: call.nowIso })));
  return { status: 200, body: { accepted } };
});
