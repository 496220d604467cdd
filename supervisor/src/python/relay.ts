/**
 * The Execution API as one Python try sees it: a port on the loopback interface that lives as long as the try. The Task SDK
 * knows only a base address and a bearer; the bearer which it is given here opens nothing but this port, and what is passed
 * on goes out with the try's own token and a proof of possession, which no child ever sees.
 *
 * The relay decides nothing about rights: that is the server's, by the row of the try. It narrows what can be asked at all
 * to the routes of a task, says in our words where the try runs, and keeps the final report until the process is gone.
 * @see docs/decisions/0016-python-runs-whole-behind-a-relay.md
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { parseExact } from '@airlock/contract/exact-json';
import { type StateReport, stateReport } from '@airlock/contract/execution/state-report';
import type { CallOptions, ExecutionAnswer, ExecutionClient, TokenHolder } from '../client/index.ts';
import type { RetryPolicy } from '../client/retry.ts';
import type { Masker } from '../task/mask.ts';
import type { TaskInstance } from '../task/paths.ts';

const PREFIX = '/execution/';
/** First parts of the paths that a task has business with; our own routes for supervisors are none of them. */
const OPEN = new Set([
  'task-instances', 'task-reschedules', 'xcoms', 'variables', 'connections', 'dag-runs', 'dags', 'assets',
  'asset-events', 'hitlDetails', 'store',
]); // biome-ignore format: a list of words
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
/** What of a request and of an answer is passed on, besides the body. */
const REQUEST_HEADERS = ['airflow-api-version', 'correlation-id'];
const ANSWER_HEADERS = ['airflow-api-version', 'correlation-id', 'content-range', 'retry-after', 'allow'];
/** Just above the server's own bound, so that the server says what is too large. */
const MAX_BODY_BYTES = 17 * 1024 * 1024;
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 60_000;
/**
 * A lost connection is mended here. The SDK repeats what fails too, but only five times, and its patience ends the task: replies
 * that get lost in a row, of which it needs several for one call, must not use it up.
 */
const QUICK: RetryPolicy = { attempts: 3, waitMinMs: 50, waitMaxMs: 300 };

export type RelayOptions = {
  readonly client: Pick<ExecutionClient, 'call'>;
  /** The try's token; replaced by the server with its answers. */
  readonly token: TokenHolder;
  readonly ti: Pick<TaskInstance, 'id'>;
  /** From a path as it was asked to the one that is passed on; null = refused. Default: the paths of a task. */
  readonly pathFor?: (url: string) => string | null;
  /** Where the try runs, as the server was told. */
  readonly place: { readonly hostname: string; readonly unixname: string; readonly pid: number };
  readonly masker: Masker;
  /** Called once, when the try has reported how it ended. */
  readonly onReport: (report: StateReport) => void;
};

export type Relay = {
  /** For AIRFLOW__CORE__EXECUTION_API_SERVER_URL. */
  readonly url: string;
  readonly bearer: string;
  /** What the try has reported, and the server has not heard yet. */
  readonly report: () => StateReport | null;
  /** Closes the port and every connection. */
  close(): Promise<void>;
};

type Reply = { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string | Buffer };

const json = (status: number, value: unknown): Reply => ({ status, body: JSON.stringify(value) });
const NOT_FOUND = json(404, { detail: 'Not Found' });

function ended({ state }: StateReport): Reply {
  const message = 'TI was not in the running state so it cannot be updated';
  return json(409, { detail: { reason: 'invalid_state', message, previous_state: state } });
}

/** @throws RangeError above the bound */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  // Said before it is read, so that there is still somebody who hears it.
  if (Number(request.headers['content-length']) > MAX_BODY_BYTES) throw new RangeError('body too large');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw new RangeError('body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** The path below the API with its query, as it was sent; null when it is none of a task's. */
export function relayedPath(url: string, tiId: string): string | null {
  if (!url.startsWith(PREFIX)) return null;
  const path = url.slice(PREFIX.length - 1);
  const parts = path.split('?', 1)[0]!.slice(1).split('/');
  // A proxy on the way might take such a part away, and ask for another path than the one that was looked at here.
  if (parts.some((part) => /^(?:\.|%2e){1,2}$/i.test(part)) || path.includes('\\')) return null;
  if (!OPEN.has(parts[0]!)) return null;
  // The log of a try is written by the worker alone, from what the process prints.
  return parts[0] === 'task-instances' && parts[1] === tiId && /^logs$/i.test(parts[2] ?? '') ? null : path;
}

/** What a callback may ask for: variables, connections and XComs, by the routes of its own. */
export function callbackPath(url: string, id: string): string | null {
  const path = relayedPath(url, id);
  return path !== null && /^\/(?:variables|connections|xcoms)\//.test(path) ? `/callbacks/${id}${path}` : null;
}

/** What a trigger of assets may ask for: the same and what it keeps of its assets, by routes of its own. */
export function watcherPath(url: string, triggerId: number): string | null {
  const path = relayedPath(url, '');
  const isOpen = path !== null && /^\/(?:variables|connections|store\/asset\/by-name)\//.test(path);
  return isOpen ? `/triggers/${triggerId}${path}` : null;
}

function parsed(body: Buffer, parse: (text: string) => unknown = JSON.parse): unknown {
  try {
    return parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Values that must not show in the log of this try. */
export function learnSecrets(masker: Masker, path: string, answer: ExecutionAnswer): void {
  const [, kind] = /^(?:\/(?:callbacks|triggers)\/[^/]+)?\/(connections|variables)\//.exec(path) ?? [];
  if (kind !== undefined) masker.addRead(kind as 'variables' | 'connections', parsed(answer.body));
}

/** A report without secrets in what people are shown of it: label and reason. Values and events are data, and stay. */
function shownOf(masker: Masker, report: StateReport): StateReport {
  const masked: Record<string, unknown> = {};
  for (const name of ['rendered_map_index', 'retry_reason'] as const) {
    const text: unknown = (report as Record<string, unknown>)[name];
    if (typeof text === 'string') masked[name] = masker.mask(text);
  }
  return { ...report, ...masked };
}

export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { client, token, ti, place, masker } = options;
  const bearer = randomBytes(32).toString('base64url');
  const expected = Buffer.from(`Bearer ${bearer}`);
  const closed = new AbortController();
  let report: StateReport | null = null;
  const own = (action: string) => `/task-instances/${ti.id}/${action}`;

  const isAuthentic = (header: string | undefined): boolean => {
    const given = Buffer.from(header ?? '');
    return given.byteLength === expected.byteLength && timingSafeEqual(given, expected);
  };
  const pass = async (call: Omit<CallOptions, 'token' | 'retry'>): Promise<Reply> => {
    let answer: ExecutionAnswer;
    try {
      answer = await client.call({ ...call, token, retry: QUICK });
    } catch {
      return json(503, { detail: 'The server could not be reached.' });
    }
    if (answer.status === 200 && call.method === 'GET') learnSecrets(masker, call.path, answer);
    const headers: Record<string, string> = {};
    for (const name of ANSWER_HEADERS) {
      const value = answer.headers[name];
      if (typeof value === 'string') headers[name] = value;
    }
    return { status: answer.status, headers, body: answer.body };
  };
  /** Takes the report in the server's place, once. @returns null for one that the server should judge */
  const take = (body: Buffer): Reply | null => {
    const next = stateReport.safeParse(parsed(body));
    if (!next.success) return null;
    if (report === null) {
      // What the author wrote goes on as it is, and so do its numbers.
      report = shownOf(masker, parsed(body, parseExact) as StateReport);
      options.onReport(report);
      return { status: 204 };
    }
    if (report.state === next.data.state) return { status: 200 };
    return ended(report);
  };
  /** @param signal the SDK no longer waits for the answer: what it asks next may be the same again */
  const answerTo = async (request: IncomingMessage, signal: AbortSignal): Promise<Reply> => {
    if (!isAuthentic(request.headers.authorization)) return json(401, { detail: 'Missing auth token' });
    const method = request.method as CallOptions['method'];
    const path = (options.pathFor ?? ((url) => relayedPath(url, ti.id)))(request.url ?? '');
    if (path === null) return NOT_FOUND;
    if (!METHODS.has(method)) return json(405, { detail: 'Method Not Allowed' });
    const body = await readBody(request);
    const headers: Record<string, string> = {};
    for (const name of REQUEST_HEADERS) {
      const value = request.headers[name];
      if (typeof value === 'string') headers[name] = value;
    }
    const route = `${method} ${path.split('?', 1)[0]}`;
    // The worker itself says that the try is alive, for as long as its process is.
    if (route === `PUT ${own('heartbeat')}`) return { status: 204 };
    if (route === `PATCH ${own('state')}`) {
      const taken = take(body);
      if (taken !== null) return taken;
    }
    let sent: Buffer | string = body;
    if (route === `PATCH ${own('run')}`) {
      if (report !== null) return ended(report);
      const given = parsed(body);
      if (typeof given === 'object' && given !== null) sent = JSON.stringify({ ...given, ...place });
    }
    // What people are shown of a try: its rendered fields and label, and what it asks them.
    if ([`PUT ${own('rtif')}`, `PATCH ${own('rendered-map-index')}`, `POST /hitlDetails/${ti.id}`].includes(route)) {
      const given = parsed(body, parseExact);
      if (given !== undefined) sent = JSON.stringify(masker.maskTexts(given));
    }
    const contentType = request.headers['content-type'];
    return pass({ method, path, headers, signal, ...(body.byteLength === 0 ? {} : { body: sent, contentType }) });
  };

  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    void answerTo(request, AbortSignal.any([closed.signal, gone.signal]))
      .catch((error: unknown) =>
        error instanceof RangeError
          ? json(413, { detail: 'The body is too large.' })
          : json(400, { detail: 'Bad request' }),
      )
      .then((reply) => respond(response, reply));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('a relay listens on a port');
  const { port } = address;
  masker.add(bearer);
  return {
    url: `http://127.0.0.1:${port}${PREFIX}`,
    bearer,
    report: () => report,
    close: () =>
      new Promise((resolve) => {
        closed.abort();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function respond(response: ServerResponse, { status, headers, body }: Reply): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    ...(body === undefined || body.length === 0 ? {} : { 'content-type': 'application/json' }),
    ...headers,
  });
  response.end(body);
}
