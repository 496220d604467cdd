/** Requests that no decent client makes: bodies that are announced and never come, or that never end. */
import { type IncomingMessage, request } from 'node:http';

export type RawAnswer = {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** Bytes of the body that the server took before it answered. */
  readonly sent: number;
};

export type RawRequest = {
  readonly url: string;
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Instead of `body`: so many bytes, in chunks, without announcing how many; stops when the answer comes. */
  readonly streamBytes?: number;
  /** Announced but never sent. */
  readonly announceBytes?: number;
  readonly timeoutMs?: number;
};

/** @throws Error when no answer comes: a reset without one, or silence */
export function rawRequest(options: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = false;
    const headers: Record<string, string | number> = { 'content-type': 'application/json', ...options.headers };
    if (options.announceBytes !== undefined) headers['content-length'] = options.announceBytes;
    else if (options.body !== undefined) headers['content-length'] = Buffer.byteLength(options.body);
    // Node frames the body of a GET only when told to: without it the bytes would be another request, and garbage.
    else if (options.streamBytes !== undefined) headers['transfer-encoding'] = 'chunked';
    const call = request(options.url, { method: options.method, headers, agent: false });
    const timer = setTimeout(() => {
      call.destroy();
      reject(new Error(`${options.method} ${options.url}: no answer within ${options.timeoutMs ?? 60_000} ms`));
    }, options.timeoutMs ?? 60_000);
    call.on('response', (response) => {
      answered = true;
      let text = '';
      const done = () => {
        clearTimeout(timer);
        call.destroy();
        resolve({ status: response.statusCode!, headers: response.headers, text, sent });
      };
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      // A connection that is cut after the answer's head is an answer all the same.
      response.on('end', done).on('error', done);
    });
    call.on('error', (error) => {
      if (answered) return;
      clearTimeout(timer);
      reject(new Error(`${options.method} ${options.url}: ${error.message} after ${sent} bytes`, { cause: error }));
    });
    if (options.streamBytes !== undefined) {
      const chunk = Buffer.alloc(64 * 1024, 0x20);
      const total = options.streamBytes;
      const more = () => {
        while (!answered && sent < total) {
          sent += chunk.length;
          if (!call.write(chunk)) {
            call.once('drain', more);
            return;
          }
        }
        if (!answered) call.end();
      };
      more();
    } else if (options.announceBytes !== undefined) call.flushHeaders();
    else {
      sent = options.body === undefined ? 0 : Buffer.byteLength(options.body);
      call.end(options.body);
    }
  });
}
