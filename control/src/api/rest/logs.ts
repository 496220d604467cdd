/** The log of a try, in pages or as a stream. @see rest-api 5.12 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { getTaskInstanceRow, type TaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import { listTries } from '@airlock/store/queries/rest-task/tries';
import { type LogRef, logPath } from '../../logs/log-path.ts';
import { check, parseQuery } from '../http/validation.ts';
import { one, wire } from '../http/wire.ts';
import { optionalOne } from './list-query.ts';
import { negotiate } from './negotiate.ts';
import type { RestContext, RestRoute } from './route.ts';
import { keyOf } from './tasks.ts';

type LogEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** Most bytes of a log in one JSON answer; the token leads on from there. */
const PAGE_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Where no key is configured, tokens hold in this process only. */
const PROCESS_KEY = randomBytes(32);

const query = z.object({
  full_content: one(wire.bool()).default(false),
  map_index: one(wire.int({ ge: -1 })).default(-1),
  token: optionalOne(wire.text({ max: 4000 })),
});

function badSignature(): AppError {
  return new AppError('BAD_REQUEST', { public: 'Bad Signature. Please use only the tokens provided by the API.' });
}

/** A position in one log, that only we can make. */
function makeToken(context: RestContext, ref: LogRef, position: number): string {
  const box = context.deps.secrets;
  if (box.encrypts) return box.seal(String(position), `log/${logPath(ref)}`);
  const mac = createHmac('sha256', PROCESS_KEY)
    .update(`${position} ${logPath(ref)}`)
    .digest('base64url');
  return `${position}.${mac}`;
}

/** @throws BAD_REQUEST */
function readToken(context: RestContext, ref: LogRef, token: string): number {
  const box = context.deps.secrets;
  if (box.encrypts) {
    try {
      return Number(box.open(token, `log/${logPath(ref)}`));
    } catch {
      throw badSignature();
    }
  }
  const position = Number(token.split('.')[0]);
  const expected = Buffer.from(Number.isSafeInteger(position) ? makeToken(context, ref, position) : '');
  const given = Buffer.from(token);
  if (expected.length !== given.length || !timingSafeEqual(expected, given)) throw badSignature();
  return position;
}

/** One stored line as an event. What is not a JSON object with a text `event` is a plain line. */
export function parseLine(line: string): LogEvent {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && typeof (value as LogEvent).event === 'string') {
      return value as LogEvent;
    }
  } catch {
    // A plain line, below.
  }
  return { event: line };
}

function header(sources: readonly string[]): LogEvent[] {
  return [
    { event: '::group::Log message source details' },
    ...sources.map((event) => ({ event })),
    { event: '::endgroup::' },
  ];
}

function withoutLogs(state: string | null): LogEvent {
  if (state === 'skipped') return { event: 'Task was skipped — no logs available.' };
  if (state === 'upstream_failed') return { event: 'Task did not run because upstream task(s) failed.' };
  return { event: 'No logs available for this task.' };
}

type Wanted = { ref: LogRef; row: TaskInstanceRow; ended: boolean; position: number; first: boolean };

async function wanted(context: RestContext): Promise<Wanted> {
  const asked = parseQuery(query, context.request);
  const tryNumber = check(wire.int({ ge: 0 }), context.param('try_number'), ['path', 'try_number']);
  const key = keyOf(context, asked.map_index);
  const { db } = context.deps;
  const row = await getTaskInstanceRow(db, key);
  const notFound = new AppError('NOT_FOUND', { public: 'TaskInstance not found' });
  if (!row) throw notFound;
  const known = tryNumber === 0 || tryNumber === row.try_number;
  if (!known && !(await listTries(db, key)).some((each) => each.try_number === tryNumber)) throw notFound;
  const ref = { ...key, tryNumber };
  const position = asked.token === undefined ? 0 : readToken(context, ref, asked.token);
  const live = tryNumber === row.try_number && (row.state === 'running' || row.state === 'deferred');
  return { ref, row, ended: !live, position, first: asked.token === undefined };
}

/** Whole lines from `position` on, at most `most` bytes. @returns where the next page starts, and whether that is the end */
async function readPage(
  file: FileHandle,
  position: number,
  most: number,
  ended: boolean,
): Promise<{ events: LogEvent[]; next: number; complete: boolean }> {
  const { size } = await file.stat();
  const length = Math.max(0, Math.min(most, size - position));
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  const complete = position + bytesRead >= size;
  const text = buffer.subarray(0, bytesRead);
  // The writer may be in the middle of a line; one longer than a page is cut where the page ends.
  const lastBreak = text.lastIndexOf(0x0a);
  const whole = complete && ended ? bytesRead : lastBreak >= 0 ? lastBreak + 1 : bytesRead === most ? bytesRead : 0;
  const lines = text.subarray(0, whole).toString('utf8').split('\n');
  const events = lines.filter((line) => line !== '').map(parseLine);
  return { events, next: position + whole, complete };
}

async function jsonAnswer(context: RestContext, w: Wanted): Promise<unknown> {
  const file = w.ref.tryNumber === 0 ? null : await context.deps.logs.open(w.ref);
  if (!file) {
    const content = w.first ? [...header([]), withoutLogs(w.row.state)] : [];
    return { content, continuation_token: w.ended ? null : makeToken(context, w.ref, w.position) };
  }
  try {
    const page = await readPage(file, w.position, PAGE_BYTES, w.ended);
    const done = w.ended && page.complete;
    return {
      content: [...(w.first ? header([logPath(w.ref)]) : []), ...page.events],
      continuation_token: done ? null : makeToken(context, w.ref, page.next),
    };
  } finally {
    await file.close();
  }
}

const asNdjson = (event: LogEvent): string => `${JSON.stringify({ timestamp: null, ...event })}\n`;

async function* lines(file: FileHandle | null, w: Wanted): AsyncGenerator<string> {
  if (w.first) {
    const head = file ? header([logPath(w.ref)]) : [...header([]), withoutLogs(w.row.state)];
    yield head.map(asNdjson).join('');
  }
  if (!file) return;
  try {
    const { size: end } = await file.stat();
    let position = w.position;
    while (position < end) {
      const page = await readPage(file, position, CHUNK_BYTES, w.ended);
      if (page.next === position) break;
      yield page.events.map(asNdjson).join('');
      position = page.next;
    }
  } finally {
    await file.close();
  }
}

async function ndjsonAnswer(context: RestContext, w: Wanted): Promise<unknown> {
  const file = w.ref.tryNumber === 0 ? null : await context.deps.logs.open(w.ref);
  const end = file ? (await file.stat()).size : w.position;
  return context.reply
    .header('content-type', 'application/x-ndjson')
    .header('airflow-continuation-token', makeToken(context, w.ref, end))
    .send(Readable.from(lines(file, w)));
}

async function logs(context: RestContext): Promise<unknown> {
  const kind = negotiate(context.request.headers.accept, 'application/x-ndjson');
  const w = await wanted(context);
  return kind === 'json' ? jsonAnswer(context, w) : ndjsonAnswer(context, w);
}

export const logRoutes: RestRoute[] = [
  {
    method: 'GET',
    path: '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances/:task_id/logs/:try_number',
    handle: logs,
    query,
  },
];
