/**
 * A proxy that treats replies badly: each call that passes it is attacked at its first attempt, and again now and then, but
 * never more than twice in a row. For what must hold when the way between worker and server is not to be trusted.
 */
import { Agent, createServer, type IncomingMessage, request as requestOf, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from './seed.ts';

export const FAULTS = ['request lost', 'reply lost', 'reply delayed', 'reply twice', 'reply overtaken'] as const;
export type Fault = (typeof FAULTS)[number];

export type FaultProxy = {
  readonly url: string;
  /** Route, with `*` for ids → fault → how often. `none` = passed as it was. */
  readonly counts: ReadonlyMap<string, ReadonlyMap<Fault | 'none', number>>;
  readonly total: (fault: Fault | 'none') => number;
  /** From now on everything passes. */
  readonly relent: () => void;
} & AsyncDisposable;

export type FaultProxyOptions = {
  /** http://host:port of the server. */
  readonly target: string;
  readonly random: Random;
  /** How late a delayed reply is: longer than the client waits. */
  readonly delayMs: number;
  /** Calls that are let through always. */
  readonly spare: (method: string, path: string) => boolean;
};

type Reply = { readonly status: number; readonly reason: string; readonly headers: string[]; readonly body: Buffer };

const IN_A_ROW = 2;
/** Longest wait for another reply to overtake this one, and longest pause before a reply's copy. */
const OVERTAKEN_MS = 500;
const COPY_MS = 20;
/** Said by each side of a proxy for itself. @see RFC 9110 7.6.1 */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length']);

const shapeOf = (method: string, path: string): string =>
  `${method} ${path.replace(/[0-9a-f-]{36}/g, '*').replace(/^(\/execution\/xcoms)\/.*/, '$1/*')}`;

/** Whose token it is: tries ask for the same things, and each is to come through in the end. */
function callerOf({ headers }: IncomingMessage): string {
  const claims = Buffer.from(headers.authorization?.split('.', 2)[1] ?? '', 'base64url').toString();
  return /"sub":"([^"]+)"/.exec(claims)?.[1] ?? '';
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const { random, delayMs, spare } = options;
  const target = new URL(options.target);
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const counts = new Map<string, Map<Fault | 'none', number>>();
  const rows = new Map<string, number>();
  const closing = new AbortController();
  let relenting = false;
  /** Resolved by the next reply that is sent. */
  let sent = Promise.withResolvers<void>();

  /** The first attempt of a call is always attacked. A call is known by caller and path; a passed one may come again as another. */
  const choose = (method: string, path: string, caller: string): Fault | 'none' => {
    const key = `${caller} ${method} ${path}`;
    const inARow = rows.get(key) ?? 0;
    const attack = !relenting && !spare(method, path) && (inARow === 0 || (inARow < IN_A_ROW && random.below(2) === 0));
    rows.set(key, attack ? inARow + 1 : 0);
    const fault = attack ? random.pick(FAULTS) : 'none';
    const shape = shapeOf(method, path);
    const row = counts.get(shape) ?? new Map();
    counts.set(shape, row.set(fault, (row.get(fault) ?? 0) + 1));
    return fault;
  };

  const forward = (request: IncomingMessage, body: Buffer, signal: AbortSignal): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const upstream = requestOf(
        {
          host: target.hostname,
          port: target.port,
          method: request.method,
          path: request.url,
          // The name by which the client knows us stays: proofs are made for it.
          headers: { ...request.headers, connection: 'keep-alive' },
          agent,
          signal,
        },
        (answer) => {
          bodyOf(answer).then((bytes) => {
            const { rawHeaders: raw } = answer;
            const headers = raw.flatMap((name, i) =>
              i % 2 === 0 && !HOP_BY_HOP.has(name.toLowerCase()) ? [name, raw[i + 1]!] : [],
            );
            resolve({ status: answer.statusCode!, reason: answer.statusMessage ?? '', headers, body: bytes });
          }, reject);
        },
      );
      upstream.on('error', reject);
      upstream.end(body);
    });

  const send = (response: ServerResponse, reply: Reply) => {
    const length = reply.status === 204 ? [] : ['content-length', String(reply.body.byteLength)];
    response.writeHead(reply.status, reply.reason, [...reply.headers, ...length]);
    response.end(reply.body);
    sent.resolve();
    sent = Promise.withResolvers();
  };
  /** The reply once more, on the same connection, where the client may wait for the answer to its next request by then. */
  const sendCopy = async (request: IncomingMessage, reply: Reply) => {
    await pause(random.below(COPY_MS));
    const lines = [`HTTP/1.1 ${reply.status} ${reply.reason}`, `content-length: ${reply.body.byteLength}`];
    for (let i = 0; i < reply.headers.length; i += 2) lines.push(`${reply.headers[i]}: ${reply.headers[i + 1]}`);
    if (request.socket.writable)
      request.socket.write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), reply.body]));
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await bodyOf(request);
    const fault = choose(request.method!, request.url!.split('?', 1)[0]!, callerOf(request));
    if (fault === 'request lost') return request.socket.destroy();
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const reply = await forward(request, body, gone.signal);
    if (fault === 'reply lost') return request.socket.destroy();
    if (fault === 'reply delayed') await pause(delayMs, undefined, { signal: closing.signal });
    if (fault === 'reply overtaken') await Promise.race([sent.promise, pause(OVERTAKEN_MS)]);
    send(response, reply);
    if (fault === 'reply twice') await sendCopy(request, reply);
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  server.requestTimeout = 0;
  server.on('connection', (socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    counts,
    total: (fault) => [...counts.values()].reduce((sum, row) => sum + (row.get(fault) ?? 0), 0),
    relent: () => {
      relenting = true;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}
