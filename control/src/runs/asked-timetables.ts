/**
 * Timetables of the authors' own: what is asked, and what follows from the answers. Control never runs them; a dag-processor
 * does, in a sandboxed child, and stores what they say. @see decision 24
 */
import { AppError } from '@airlock/contract/errors';
import type { DagRunType } from '@airlock/contract/states';
import {
  type AskedRun,
  MAX_TIMETABLE_PROBLEM,
  MAX_TIMETABLE_RUNS,
  TIMETABLE_LOOK_AHEAD,
  type TimetableAnswer,
  type TimetableAsk,
  timetableAnswer,
  timetableAsk,
} from '@airlock/contract/timetables';
import { type Db, notify } from '@airlock/store';
import { findCurrentVersion, setNextRun } from '@airlock/store/queries/dag/find';
import { setImportError } from '@airlock/store/queries/dag/ingest';
import {
  findImportErrorText,
  findProblemsOfFile,
  lockQuestion,
  storeAnswer,
  storeProblem,
} from '@airlock/store/queries/timetable/answer';
import { askNextRuns, askOnce, dropQuestion, findAnswer, findNextRuns } from '@airlock/store/queries/timetable/ask';
import type { ControlDeps } from '../deps.ts';
import { type DagModel, restrictionOf } from '../domain/dag-model.ts';
import { instantIso, instantIsoOrNull } from '../domain/instants.ts';
import { checkRunId, RUN_ID_PATTERN } from '../domain/run-id.ts';
import type { LastRun, NextRun } from '../domain/timetables/index.ts';
import { waitForEvents } from '../executors/wait.ts';
import { findModel } from './models.ts';
import { newId } from './new-ids.ts';

/** A timetable that failed is asked again after so long; at once when its Dag is parsed anew. */
const RETRY_MS = 5 * 60_000;
/** How long somebody who triggers a run, or plans a backfill, waits for the timetable. */
const CALLER_WAIT_MS = 20_000;
/** Begins every import error that a timetable made. */
const PROBLEM_PREFIX = 'The timetable of the Dag ';

const isoInterval = (interval: LastRun['interval']) =>
  interval && { start: instantIso(interval.startMs), end: instantIso(interval.endMs) };

/** Asks for the coming runs after `last`. Locks: the row of the question. */
export async function askForNext(tx: Db, model: DagModel, last: LastRun | null, nowIso: string): Promise<void> {
  const { earliestMs, latestMs, catchup } = restrictionOf(model);
  const ask: TimetableAsk = {
    kind: 'runs',
    run_type: 'scheduled',
    until: null,
    count: TIMETABLE_LOOK_AHEAD,
    last: last && { run_after: instantIso(last.runAfterMs), interval: isoInterval(last.interval) },
    restriction: { earliest: instantIsoOrNull(earliestMs), latest: instantIsoOrNull(latestMs), catchup },
  };
  await askNextRuns(tx, { id: newId(nowIso), dagId: model.dagId, ask, nowIso });
}

/** The coming runs as they were answered last, those after `last` only. */
export async function knownRuns(db: Db, dagId: string, last: LastRun | null): Promise<NextRun[]> {
  const stored = await findNextRuns(db, dagId);
  const runs = runsOf(stored?.answer).map(asNextRun);
  if (last === null) return runs;
  // By place rather than by time: what follows is what was answered to follow.
  const at = runs.findIndex((run) => isSame(run, last));
  return at >= 0 ? runs.slice(at + 1) : runs.filter((run) => run.runAfterMs > last.runAfterMs);
}

const isSame = (a: LastRun, b: LastRun): boolean =>
  a.runAfterMs === b.runAfterMs && a.interval?.startMs === b.interval?.startMs;

function runsOf(answer: unknown): readonly AskedRun[] {
  const read = timetableAnswer.safeParse(answer);
  return read.success && read.data.kind === 'runs' ? read.data.runs : [];
}

function asNextRun({ run_after, interval, run_id }: AskedRun): NextRun {
  const startMs = Date.parse(interval.start);
  return {
    runAfterMs: Date.parse(run_after),
    logicalDateMs: startMs,
    interval: { startMs, endMs: Date.parse(interval.end) },
    runId: run_id,
  };
}

/** The name that the timetable has made for the run that is due; null = it makes none. */
export function answeredRunId(
  due: { readonly timetable_answer: unknown; readonly next_create_after: string },
  start: string | null,
): string | null {
  const at = (text: string | null) => (text === null ? null : Date.parse(text));
  const run = runsOf(due.timetable_answer).find(
    ({ run_after, interval }) => at(run_after) === at(due.next_create_after) && at(interval.start) === at(start),
  );
  return run?.run_id ?? null;
}

/** Why a Dag with such a timetable has no next run, for people; null = it has, or it never will. */
export async function whyNoNextRun(db: Db, dagId: string): Promise<string | null> {
  const stored = await findNextRuns(db, dagId);
  if (!stored) return 'The timetable has not been asked yet.';
  if (stored.problem !== null) return stored.problem;
  if (stored.answered_at !== null || runsOf(stored.answer).length > 0) return null;
  return `A dag-processor with the bundle of this Dag has not answered yet; it was asked at ${stored.asked_at}.`;
}

/**
 * Takes the answer of a dag-processor to a question that it was given. What does not fit the question is a failure of the
 * timetable. @returns false when nobody waits for it
 */
export async function takeAnswer(
  tx: Db,
  o: { readonly id: string; readonly supervisorId: string; readonly answer: TimetableAnswer; readonly nowIso: string },
): Promise<boolean> {
  const { id, nowIso } = o;
  const question = await lockQuestion(tx, o);
  if (!question) return false;
  const answer = checked(timetableAsk.parse(question.ask), o.answer);
  const isNext = question.purpose === 'next';
  if (answer.kind === 'problem') {
    const text = isNext ? `${PROBLEM_PREFIX}${JSON.stringify(question.dag_id)} failed.\n\n${answer.text}` : answer.text;
    const againIso = isNext ? instantIso(Date.parse(nowIso) + RETRY_MS) : null;
    await storeProblem(tx, { id, problem: text.slice(0, MAX_TIMETABLE_PROBLEM), againIso, nowIso });
  } else await storeAnswer(tx, { id, answer, nowIso });
  if (!isNext) return true;
  const next = answer.kind === 'runs' ? answer.runs[0] : undefined;
  await setNextRun(tx, question.dag_id, {
    logicalDate: next?.interval.start ?? null,
    start: next?.interval.start ?? null,
    end: next?.interval.end ?? null,
    createAfter: next?.run_after ?? null,
  });
  await showProblems(tx, question.bundle_name, question.relative_fileloc, nowIso);
  await notify(tx, { kind: 'schedule' });
  return true;
}

/** Keeps the file's import error equal to what its timetables fail with, unless the file has another one. */
async function showProblems(tx: Db, bundleName: string, relativeFileloc: string, nowIso: string): Promise<void> {
  const file = { bundleName, relativeFileloc };
  const shown = await findImportErrorText(tx, file);
  if (shown !== null && !shown.startsWith(PROBLEM_PREFIX)) return;
  const text = await findProblemsOfFile(tx, file);
  if (text !== shown) await setImportError(tx, { ...file, text, nowIso });
}

/** The answer if it is one to that question, and its names are names; else what is wrong with it. */
function checked(ask: TimetableAsk, answer: TimetableAnswer): TimetableAnswer {
  if (answer.kind === 'problem') return answer;
  const wrong = (text: string): TimetableAnswer => ({ kind: 'problem', text });
  if (answer.kind !== ask.kind) return wrong('The answer is not one to what was asked.');
  const runs = answer.kind === 'runs' ? answer.runs : [answer];
  if (ask.kind === 'runs' && runs.length > ask.count) return wrong('The answer has more runs than were asked for.');
  for (const { run_id: runId } of runs) {
    if (runId === null) continue;
    try {
      checkRunId(runId, ask.run_type, { pattern: RUN_ID_PATTERN, allowDoubleDots: false });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return wrong(`generate_run_id: ${error.message}`);
    }
  }
  if (answer.kind === 'runs') {
    let before: Place | null = ask.kind === 'runs' ? ask.last : null;
    for (const [index, run] of answer.runs.entries()) {
      if (before && !leadsForward(before, run)) {
        // What only looks ahead is asked again in its time.
        if (index > 0 && ask.kind === 'runs' && ask.until === null)
          return { ...answer, runs: answer.runs.slice(0, index) };
        return wrong(
          `next_dagrun_info: the run after ${before.run_after} is to come at ${run.run_after}, which does not lead forward.`,
        );
      }
      before = run;
    }
  }
  return answer;
}

type Place = { readonly run_after: string; readonly interval: { readonly start: string } | null };
/** Two runs at one time are told apart by their intervals; without that a schedule would make the same run for ever. */
function leadsForward(before: Place, run: Place): boolean {
  const [was, is] = [Date.parse(before.run_after), Date.parse(run.run_after)];
  if (is !== was) return is > was;
  return (
    before.interval !== null &&
    run.interval !== null &&
    Date.parse(run.interval.start) > Date.parse(before.interval.start)
  );
}

/** What only the timetable can say about a run that somebody asks for. */
export type AskedFacts = {
  readonly interval: { readonly start: string; readonly end: string } | null;
  readonly runId: string | null;
};

type Asking = Pick<ControlDeps, 'db' | 'clock' | 'events'>;

/**
 * Asks for a run that is not the schedule's own. @returns null when there is nothing to ask: the Dag is not known, or its
 * timetable is not the author's own
 * @throws BAD_REQUEST the timetable raised · TIMETABLE_UNAVAILABLE no dag-processor answered in time
 */
export async function askAboutRun(
  deps: Asking,
  o: {
    readonly dagId: string;
    readonly runType: DagRunType;
    readonly runId?: string | null;
    readonly logicalDate: string | null;
    readonly dataInterval?: { readonly start: string; readonly end: string } | null;
    readonly intervalAt?: string;
    readonly runAfter: string;
    readonly nowIso: string;
  },
): Promise<AskedFacts | null> {
  const model = await askedModel(deps.db, o.dagId);
  if (!model) return null;
  const given = o.logicalDate === null ? null : (o.dataInterval ?? null);
  const inferAt = o.logicalDate === null || given !== null ? null : (o.intervalAt ?? o.logicalDate);
  if (inferAt === null && o.runId) return { interval: given, runId: null };
  const answer = await ask(deps, model.dagId, 'manual', o.nowIso, {
    kind: 'manual',
    run_type: o.runType,
    run_after: o.runAfter,
    infer_at: inferAt,
    interval: given,
  });
  if (answer.kind !== 'manual') throw unanswered(model.dagId);
  return { interval: inferAt === null ? given : answer.interval, runId: answer.run_id };
}

/** The runs of the schedule in a closed range whose time is over. @returns null and @throws as `askAboutRun` */
export async function askForBackfill(
  deps: Asking,
  o: { readonly dagId: string; readonly fromDate: string; readonly toDate: string; readonly nowIso: string },
): Promise<readonly NextRun[] | null> {
  const model = await askedModel(deps.db, o.dagId);
  if (!model) return null;
  const answer = await ask(deps, model.dagId, 'backfill', o.nowIso, {
    kind: 'runs',
    run_type: 'backfill',
    until: o.nowIso,
    count: MAX_TIMETABLE_RUNS,
    last: null,
    restriction: { earliest: o.fromDate, latest: o.toDate, catchup: true },
  });
  if (answer.kind !== 'runs') throw unanswered(model.dagId);
  return answer.runs.map(asNextRun);
}

async function askedModel(db: Db, dagId: string): Promise<DagModel | null> {
  const versionId = await findCurrentVersion(db, dagId);
  const model = versionId === null ? null : await findModel(db, versionId);
  return model?.timetable.isAsked ? model : null;
}

async function ask(
  deps: Asking,
  dagId: string,
  purpose: 'manual' | 'backfill',
  nowIso: string,
  question: TimetableAsk,
): Promise<TimetableAnswer> {
  const id = newId(nowIso);
  await askOnce(deps.db, { id, dagId, purpose, ask: question, nowIso });
  try {
    const untilMs = deps.clock.nowMs() + CALLER_WAIT_MS;
    const signal = new AbortController().signal;
    const found = await waitForEvents({ ...deps, kinds: ['timetable'], untilMs, signal }, async () => {
      const stored = await findAnswer(deps.db, id);
      return stored === null || stored.answered_at !== null ? { stored } : null;
    });
    if (!found?.stored) throw unanswered(dagId);
    const { answer, problem } = found.stored;
    if (problem !== null) {
      const last = problem.trim().split('\n').at(-1) ?? '';
      throw new AppError('BAD_REQUEST', {
        public: `${PROBLEM_PREFIX}'${dagId}' failed: ${last.slice(0, 1000)}`,
        remedy: 'Correct the timetable.',
        internal: { reason: 'value_error' },
      });
    }
    return timetableAnswer.parse(answer);
  } finally {
    await dropQuestion(deps.db, id);
  }
}

export function unanswered(dagId: string): AppError {
  return new AppError('TIMETABLE_UNAVAILABLE', {
    public: `No dag-processor has answered for the timetable of the Dag '${dagId}' in time.`,
  });
}
