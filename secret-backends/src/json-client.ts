/** JSON over HTTP to one address: with a deadline, a size, a bounded queue, and no redirects. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export type JsonAnswer = { readonly status: number; readonly body: unknown };

export type JsonClient = {
  /** @throws Error in words that name no secret: unreachable, late, too large, too many waiting, no JSON */
  readonly call: (
    method: 'GET' | 'POST',
    path: string,
    options: {
      readonly headers: Readonly<Record<string, string>>;
      readonly body?: unknown;
      readonly signal: AbortSignal;
    },
  ) => Promise<JsonAnswer>;
  readonly close: () => void;
};

const MAX_BYTES = 1024 * 1024;
const MAX_SOCKETS = 16;
/** Look-ups under way; more wait at their caller, who is told to come back. */
const MAX_WAITING = 512;

/** @param ca PEM texts that the certificate is checked by; absent = the system's authorities */
export function createJsonClient(url: string, ca?: string): JsonClient {
  const isTls = url.startsWith('https://');
  const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 2 };
  const agent = isTls
    ? new HttpsAgent({ ...pool, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) })
    : new HttpAgent(pool);
  const send = isTls ? httpsRequest : httpRequest;
  let waiting = 0;
  return {
    call: async (method, path, { headers, body, signal }) => {
      if (waiting >= MAX_WAITING) throw new Error(`${MAX_WAITING} look-ups are under way already`);
      waiting++;
      try {
        const text = body === undefined ? undefined : JSON.stringify(body);
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          const request = send(`${url}${path}`, {
            method,
            agent,
            signal,
            headers: {
              accept: 'application/json',
              ...headers,
              ...(text === undefined
                ? {}
                : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
            },
          });
          request.on('response', resolve).on('error', reject);
          request.end(text);
        });
        return { status: answer.statusCode ?? 0, body: await readJson(answer) };
      } finally {
        waiting--;
      }
    },
    close: () => agent.destroy(),
  };
}

/** An empty body is null. */
async function readJson(answer: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) {
      answer.destroy();
      throw new Error(`the answer is larger than ${MAX_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  if (bytes === 0) return null;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new Error('the answer is no JSON');
  }
}
