/**
 * What a timetable of the author's own Python is asked, and what it answers: from control to a dag-processor and on to the
 * child that runs it. Answers come from code that nobody trusts, so all of them are bounded here and checked again in control.
 * Instants are RFC 3339 in UTC, with up to six digits after the second. @see decision 24
 */
import { z } from 'zod';
import { DAG_RUN_TYPES } from './states.ts';

/** Runs that one answer looks ahead: the next one, and what a preview shows. */
export const TIMETABLE_LOOK_AHEAD = 50;
/** Most runs of one answer, one more than a backfill may have. */
export const MAX_TIMETABLE_RUNS = 10_001;
/** Longest traceback that is kept, characters. */
export const MAX_TIMETABLE_PROBLEM = 20_000;

const instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z$/)
  .refine((text) => !Number.isNaN(Date.parse(text)), 'no instant');
const runId = z.string().min(1).max(250).nullable();
const interval = z
  .strictObject({ start: instant, end: instant })
  .refine(({ start, end }) => Date.parse(start) <= Date.parse(end), 'an interval that ends before it begins');

const chain = {
  /** Ends before any run whose interval has not ended by then; null = no such end. */
  until: z.string().nullable(),
  /** Most runs. */
  count: z.int().min(1).max(MAX_TIMETABLE_RUNS),
};
const restriction = z.strictObject({
  earliest: z.string().nullable(),
  latest: z.string().nullable(),
  catchup: z.boolean(),
});
export const timetableAsk = z.discriminatedUnion('kind', [
  /** The runs that follow one another, each asked with the one before as the last. */
  z.strictObject({
    kind: z.literal('runs'),
    ...chain,
    run_type: z.enum(DAG_RUN_TYPES),
    last: z
      .strictObject({
        run_after: z.string(),
        interval: z.strictObject({ start: z.string(), end: z.string() }).nullable(),
      })
      .nullable(),
    restriction,
  }),
  /** One run that somebody asks for. */
  z.strictObject({
    kind: z.literal('manual'),
    run_type: z.enum(DAG_RUN_TYPES),
    run_after: z.string(),
    /** Instant that an interval is inferred for; null = none is. */
    infer_at: z.string().nullable(),
    /** The interval that was given; null = none, or it is inferred. */
    interval: z.strictObject({ start: z.string(), end: z.string() }).nullable(),
  }),
]);
export type TimetableAsk = z.infer<typeof timetableAsk>;

/** `run_id` null = the timetable makes none of its own. */
export const askedRun = z.strictObject({ run_after: instant, interval, run_id: runId });
export type AskedRun = z.infer<typeof askedRun>;

export const timetableAnswer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('runs'), runs: z.array(askedRun).max(MAX_TIMETABLE_RUNS) }),
  z.strictObject({ kind: z.literal('manual'), interval: interval.nullable(), run_id: runId }),
  /** A traceback, or why there is no answer. */
  z.strictObject({ kind: z.literal('problem'), text: z.string().min(1).max(MAX_TIMETABLE_PROBLEM) }),
]);
export type TimetableAnswer = z.infer<typeof timetableAnswer>;

/** What a parse says about a timetable of the author's own. */
export const timetableFacts = z.strictObject({
  summary: z.string().max(1000),
  description: z.string().max(5000),
  periodic: z.boolean(),
});
export type TimetableFacts = z.infer<typeof timetableFacts>;
/** By Dag id. */
export const timetablesFacts = z.record(z.string().max(250), timetableFacts);
