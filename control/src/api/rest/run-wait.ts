/** Waits for the end of a run: a line of JSON per look, the last one with the run's results. @see rest-api 4.3 */
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { getRunState, listRunResults, type RunResult } from '@airlock/store/queries/rest-run/wait';
import { getTeamOfDag } from '@airlock/store/queries/team/of-dag';
import { parseQuery } from '../http/validation.ts';
import { many, one, wire } from '../http/wire.ts';
import type { RestContext, RestRoute } from './route.ts';
import { runNotFound } from './run-answer.ts';

/** Requests that wait at once in one process, and those of one user among them. */
const MAX_WAITING = 200;
const MAX_PER_USER = 20;
/** Bounds of the time between two looks, seconds: what is shorter costs the database, what is longer nobody can tell. */
const MIN_INTERVAL = 0.1;
const MAX_INTERVAL = 3_600;
const MAX_RESULT_BYTES = 16 * 1024 * 1024;

const query = z.object({ interval: one(wire.float({ gt: 0 })), result: many(wire.text()) });

/** User name → how many of his requests wait. */
const waiting = new Map<string, number>();

/** @throws RATE_LIMITED @returns what gives the place back */
function takePlace(user: string): () => void {
  const own = waiting.get(user) ?? 0;
  const all = [...waiting.values()].reduce((sum, n) => sum + n, 0);
  if (own >= MAX_PER_USER || all >= MAX_WAITING) {
    throw new AppError('RATE_LIMITED', {
      public: 'Too many requests wait for runs already.',
      internal: { retryAfterSeconds: 5 },
    });
  }
  waiting.set(user, own + 1);
  return () => {
    const left = (waiting.get(user) ?? 1) - 1;
    if (left > 0) waiting.set(user, left);
    else waiting.delete(user);
  };
}

/** The value of an unmapped task; of a mapped one, a list by map index. */
function resultsText(rows: readonly RunResult[]): string {
  const members = [...Map.groupBy(rows, (row) => row.task_id)].map(([taskId, own]) => {
    const plain = own.length === 1 && own[0]!.map_index < 0;
    const value = plain ? own[0]!.text : `[${own.map((row) => row.text).join(',')}]`;
    return `${JSON.stringify(taskId)}:${value}`;
  });
  return `{${members.join(',')}}`;
}

type Wanted = { readonly dagId: string; readonly runId: string; readonly taskIds: readonly string[] | null };

async function lastLine(context: RestContext, state: string, wanted: Wanted | null): Promise<string> {
  const start = `{"state":${JSON.stringify(state)}`;
  if (!wanted) return `${start}}\n`;
  const rows = await listRunResults(context.deps.db, wanted, MAX_RESULT_BYTES);
  if (rows === null) {
    return `${start},"results_error":"The results are larger than ${MAX_RESULT_BYTES} bytes; read them one by one."}\n`;
  }
  return rows.length === 0 ? `${start}}\n` : `${start},"results":${resultsText(rows)}}\n`;
}

/** Ends early, without a last line, when the caller may no longer know, or the run is gone. */
async function* lines(
  context: RestContext,
  run: { dagId: string; runId: string },
  options: { readonly wanted: Wanted | null; readonly intervalMs: number; readonly signal: AbortSignal },
): AsyncGenerator<string> {
  for (let first = true; ; first = false) {
    if (!first) {
      const rested = await delay(options.intervalMs, true, { signal: options.signal }).catch(() => false);
      if (!rested) return;
      // A stream outlives the standing of whoever opened it.
      if (!(await context.stillMay())) return;
    }
    const state = await getRunState(context.deps.db, run.dagId, run.runId);
    if (state === null) return;
    if (state === 'success' || state === 'failed') {
      yield await lastLine(context, state, options.wanted);
      return;
    }
    yield `{"state":${JSON.stringify(state)}}\n`;
  }
}

async function wait(context: RestContext): Promise<unknown> {
  const { interval, result } = parseQuery(query, context.request);
  const run = { dagId: context.param('dag_id'), runId: context.param('dag_run_id') };
  const { db } = context.deps;
  const team = (await getTeamOfDag(db, run.dagId))?.team ?? null;
  const mayRead = context.may({ resource: 'xcom', method: 'GET', item: run.dagId, team });
  if (!mayRead && result.length > 0) {
    throw new AppError('FORBIDDEN', { public: 'User is not authorized to read XCom data for this Dag' });
  }
  if ((await getRunState(db, run.dagId, run.runId)) === null) throw runNotFound(run.dagId, run.runId);
  const leave = takePlace(context.user.name);
  const gone = new AbortController();
  context.request.raw.socket.once('close', () => gone.abort());
  const source = lines(context, run, {
    wanted: mayRead ? { ...run, taskIds: result.length > 0 ? result : null } : null,
    intervalMs: Math.min(Math.max(interval, MIN_INTERVAL), MAX_INTERVAL) * 1000,
    signal: AbortSignal.any([gone.signal, context.closing]),
  });
  const stream = Readable.from(source, { objectMode: false });
  stream.once('close', leave);
  return context.reply.send(stream);
}

export const runWaitRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags/:dag_id/dagRuns/:dag_run_id/wait', handle: wait, query },
];
