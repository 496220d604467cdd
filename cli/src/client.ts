/**
 * The one HTTP client of the CLI. By default it speaks over the control socket, where the kernel says who we are; with
 * `--url` it sends a token. Node's own HTTP is enough here, and works over a Unix socket without another package.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isPlainOverNetwork } from '@airlock/contract/config/transport';
import { CliError, EXIT_CODES } from './exit-codes.ts';

export type Target =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'url'; readonly base: URL; readonly token: string | null };
export type Answer = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly text: string };
export type Client = {
  /** Where requests go, for messages. */
  readonly where: string;
  /** Whether they go over the control socket of this machine. */
  readonly isLocal: boolean;
  /** The JSON of a 2xx answer (null when it has no body). @throws CliError with the server's own words otherwise */
  readonly json: <T>(method: string, path: string, body?: unknown) => Promise<T>;
  /** Any answer, whatever its status. @throws CliError only when no server answers */
  readonly raw: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
};

/** Longest wait for an answer, ms. */
const ANSWER_TIMEOUT_MS = 60_000;

/** @throws CliError when plain http would carry a token over a network */
export function targetOf(url: string | undefined, token: string | null, socketPath: string): Target {
  if (url === undefined) return { kind: 'socket', path: socketPath };
  let base: URL;
  try {
    base = new URL(url);
  } catch {
    throw new CliError(EXIT_CODES.usage, `--url ${url} is no URL`);
  }
  if (!['http:', 'https:'].includes(base.protocol))
    throw new CliError(EXIT_CODES.usage, `--url must begin with http:// or https://`);
  if (isPlainOverNetwork(url)) {
    throw new CliError(
      EXIT_CODES.usage,
      'plain http would show the token to the network',
      'Use https://, or a tunnel to localhost.',
    );
  }
  return { kind: 'url', base, token };
}

export function createClient(target: Target): Client {
  const where = target.kind === 'socket' ? target.path : target.base.origin;
  const raw: Client['raw'] = (method, path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const options: RequestOptions = {
        method,
        headers: {
          accept: 'application/json',
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
          ...(target.kind === 'url' && target.token !== null ? { authorization: `Bearer ${target.token}` } : {}),
          ...headers,
        },
        timeout: ANSWER_TIMEOUT_MS,
      };
      const onAnswer = (answer: IncomingMessage) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      };
      const outgoing =
        target.kind === 'socket'
          ? httpRequest({ ...options, socketPath: target.path, path }, onAnswer)
          : (target.base.protocol === 'https:' ? httpsRequest : httpRequest)(
              joinUrl(target.base, path),
              options,
              onAnswer,
            );
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)));
      outgoing.on('error', (error: NodeJS.ErrnoException) => reject(unreachable(where, error)));
      outgoing.end(payload);
    });
  return {
    where,
    isLocal: target.kind === 'socket',
    raw,
    json: async <T>(method: string, path: string, body?: unknown): Promise<T> => {
      const answer = await raw(method, path, body);
      if (answer.status < 200 || answer.status > 299) throw refusal(answer);
      return (answer.text === '' ? null : JSON.parse(answer.text)) as T;
    },
  };
}

function joinUrl(base: URL, path: string): URL {
  return new URL(base.pathname.replace(/\/$/, '') + path, base);
}

function unreachable(where: string, error: NodeJS.ErrnoException): CliError {
  if (error.code === 'EACCES') {
    return new CliError(
      EXIT_CODES.denied,
      `${where} belongs to another user`,
      'Run the command as the user that started Airlock, or as root.',
      { cause: error },
    );
  }
  const absent = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
  const why = absent ? 'no server is running' : error.message;
  return new CliError(
    EXIT_CODES.unreachable,
    `${where}: ${why}`,
    'Start it with: airlock standalone. Or name another one with --url.',
    { cause: error },
  );
}

/** An answer that is no success, in the server's words. */
export function refusal(answer: Answer): CliError {
  const exitCode =
    answer.status === 401 || answer.status === 403
      ? EXIT_CODES.denied
      : answer.status === 404
        ? EXIT_CODES.notFound
        : EXIT_CODES.failed;
  const remedy = answer.headers['airlock-remedy'];
  return new CliError(exitCode, describeDetail(answer), typeof remedy === 'string' ? remedy : null);
}

/** `detail` comes in several shapes on this wire: text, object with a message, list of field errors, list of texts. */
export function describeDetail(answer: { readonly status: number; readonly text: string }): string {
  let detail: unknown;
  try {
    const body = JSON.parse(answer.text) as { detail?: unknown; error?: unknown };
    detail = body.detail ?? body.error;
  } catch {
    detail = undefined;
  }
  const one = (item: unknown): string => {
    if (typeof item === 'string') return item;
    const fields = (item ?? {}) as { loc?: unknown; msg?: unknown; message?: unknown; reason?: unknown };
    if (typeof fields.msg === 'string')
      return `${Array.isArray(fields.loc) ? `${fields.loc.slice(1).join('.')}: ` : ''}${fields.msg}`;
    if (typeof fields.message === 'string') return fields.message;
    return typeof fields.reason === 'string' ? fields.reason : JSON.stringify(item);
  };
  if (detail === undefined) return `the server answered ${answer.status}`;
  return Array.isArray(detail) ? detail.map(one).join('; ') : one(detail);
}
