/**
 * The HTTP server that every API of a control process is mounted on: limits first, then routes. A request that breaks a
 * limit is answered before its body is read, so a stranger's 100 MB cost neither memory nor time.
 * @see RFC 9110 9.6 (connection: close), 15.5.14 (413)
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { ControlDeps } from '../../deps.ts';
import { JSON_TYPE, mapRestError, markError, sendJson, sendMapped } from './errors.ts';
import { parseJsonBody } from './json.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The JSON body as it was sent, for routes that keep the caller's own text; null when there was none. */
    bodyText: string | null;
    /** False when the content type was not JSON: the body is then the raw text, and validation refuses it. */
    bodyIsJson: boolean;
  }
}

/** Bytes; routes may set their own with the route option `bodyLimit`. */
export const BODY_LIMIT_BYTES = 1024 * 1024;
export const XCOM_BODY_LIMIT_BYTES = 16 * 1024 * 1024;
export const HEADER_LIMIT_BYTES = 16 * 1024;
/** A whole request, headers and body, must have arrived by then. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** Until then a peer must have agreed on keys. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long a refused sender may still send before its connection is cut: lets it read the answer. */
const LINGER_MS = 1_000;
/** How much of that is read into nothing. Beyond it the sender meets full buffers, and can still read the answer. */
const LINGER_BYTES = 8 * 1024 * 1024;

export type HttpServerOptions = {
  /** Addresses and networks whose forwarding headers are believed. None by default: everybody may write such headers. */
  readonly trustedProxies?: readonly string[];
  readonly requestTimeoutMs?: number;
  readonly bodyLimitBytes?: number;
  /** PEM texts; null or absent = plain http. */
  readonly tls?: { readonly certificate: string; readonly key: string } | null;
};

type Answer = { readonly status: number; readonly reason: string; readonly body: string; readonly code: string };

/** Cuts a connection that is not over in a moment. */
function cutSoon(socket: Socket): void {
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  cut.unref();
  socket.once('close', () => clearTimeout(cut));
}

/** Reads what a refused sender still sends into nothing, as far as `LINGER_BYTES`. */
function discard(raw: IncomingMessage): void {
  const { socket } = raw;
  const readBefore = socket.bytesRead;
  raw.on('data', () => {
    if (socket.bytesRead - readBefore > LINGER_BYTES) raw.pause();
  });
  raw.resume();
}

/** Writes a whole answer on a bare socket, half-closes it and lets the peer finish for a moment. */
function answerAndLinger(socket: Socket, answer: Answer): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(
    `HTTP/1.1 ${answer.status} ${answer.reason}\r\ncontent-type: ${JSON_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(answer.body)}\r\nairlock-error: ${answer.code}\r\nconnection: close\r\n\r\n${answer.body}`,
  );
  cutSoon(socket);
}

/** Node's own parser refused: too long headers, garbage, or too slow. */
function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  // Who speaks no TLS on a port of TLS can't be answered in it.
  const noTls = error.code?.startsWith('ERR_SSL') || error.code?.startsWith('ERR_TLS');
  if (error.code === 'ECONNRESET' || noTls || !socket.writable) {
    socket.destroy();
    return;
  }
  // Every further piece would be an error again, and end here with a cut that takes the answer from the peer.
  socket.pause();
  const detail = (text: string) => JSON.stringify({ detail: text });
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const body = detail('Request headers are too large');
    answerAndLinger(socket, {
      status: 431,
      reason: 'Request Header Fields Too Large',
      body,
      code: 'HEADERS_TOO_LARGE',
    });
  } else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const body = detail('The request took too long to arrive');
    answerAndLinger(socket, { status: 408, reason: 'Request Timeout', body, code: 'REQUEST_TIMEOUT' });
  } else {
    answerAndLinger(socket, { status: 400, reason: 'Bad Request', body: detail('Bad Request'), code: 'BAD_REQUEST' });
  }
}

/**
 * Refuses by the announced length alone, and keeps reading into nothing for a moment: a peer that is still sending would
 * otherwise see a reset instead of the answer.
 */
function refuseAnnouncedLength(request: FastifyRequest, reply: FastifyReply): boolean {
  const announced = request.headers['content-length'];
  const limit = request.routeOptions.bodyLimit;
  if (announced === undefined || Number(announced) <= limit) return false;
  reply.hijack();
  const raw: IncomingMessage = request.raw;
  discard(raw);
  const body = JSON.stringify({ detail: 'Request body is too large' });
  answerAndLinger(raw.socket, { status: 413, reason: 'Content Too Large', body, code: 'BODY_TOO_LARGE' });
  return true;
}

/**
 * Makes the server wait a moment before it closes a connection whose request it has not read to the end. Node closes at
 * once, and what is still on its way then resets the connection: the peer sees that instead of its answer.
 */
function closeGently(raw: IncomingMessage): void {
  const { socket } = raw;
  socket.destroySoon = () => {
    socket.end();
    discard(raw);
    cutSoon(socket);
  };
}

const MEDIA_TYPE = /^\s*[\w!#$&^.+-]+\/[\w!#$&^.+-]+\s*(?:;[\x20-\x7e]*)?$/;
const JSON_MEDIA = /^application\/(?:[a-z0-9.!#$&^_+-]+\+)?json\s*(?:;|$)/i;

/** GET on an unknown path is 404, any other verb 405: the reference's catch-alls accept only GET. */
function notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?')[0]!;
  if (request.method !== 'GET') {
    markError(reply, 'METHOD_NOT_ALLOWED').header('allow', 'GET');
    return sendJson(reply, { detail: 'Method Not Allowed' }, 405);
  }
  markError(reply, 'NOT_FOUND');
  if (path === '/health') {
    const error = 'Moved in Airflow 3. Please change config to check `/api/v2/monitor/health`';
    return sendJson(reply, { error }, 404);
  }
  if (path === '/api/v1' || path.startsWith('/api/v1/')) {
    const error = '/api/v1 has been removed in Airflow 3, please use its upgraded version /api/v2 instead.';
    return sendJson(reply, { error }, 404);
  }
  if (path.startsWith('/api/')) return sendJson(reply, { error: 'API route not found' }, 404);
  return sendJson(reply, { detail: 'Not Found' }, 404);
}

/**
 * A server with limits, JSON handling and the REST error edge, and no routes yet.
 * Errors thrown by handlers are mapped by `mapRestError`; an encapsulated API may set its own handler.
 */
export function createHttpServer(deps: Pick<ControlDeps, 'log'>, options: HttpServerOptions = {}): FastifyInstance {
  z.config({ jitless: true });
  const requestTimeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  const limits = {
    maxHeaderSize: HEADER_LIMIT_BYTES,
    headersTimeout: Math.min(10_000, requestTimeout),
    // How late a time-out may be noticed.
    connectionsCheckingInterval: Math.min(2_000, requestTimeout),
    requestTimeout,
  };
  const tls = options.tls && {
    cert: options.tls.certificate,
    key: options.tls.key,
    minVersion: 'TLSv1.2' as const,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  };
  const app = Fastify({
    loggerInstance: deps.log as FastifyBaseLogger,
    // Access lines cost more than the quick routes themselves; failures are logged at the error edge.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes ?? BODY_LIMIT_BYTES,
    requestTimeout,
    keepAliveTimeout: 72_000,
    routerOptions: { maxParamLength: 4_000 },
    exposeHeadRoutes: false,
    trustProxy: options.trustedProxies?.length ? [...options.trustedProxies] : false,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // Our own parser decides about these keys, with the wire's own answer.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    ...(tls ? { https: { ...limits, ...tls } } : { http: limits }),
    clientErrorHandler: onClientError,
    frameworkErrors: (error, request, reply) => {
      sendMapped(request, reply as FastifyReply, error, mapRestError(error));
    },
  });

  app.decorateRequest('bodyText', null);
  app.decorateRequest('bodyIsJson', true);
  app.removeAllContentTypeParsers();
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (body: Buffer): string => {
    try {
      return decoder.decode(body);
    } catch {
      throw new AppError('BAD_REQUEST', { public: 'There was an error parsing the body' });
    }
  };
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const text = decode(body as Buffer);
      request.bodyText = text === '' ? null : text;
      if (JSON_MEDIA.test(request.headers['content-type'] ?? '')) done(null, parseJsonBody(text));
      else {
        request.bodyIsJson = false;
        done(null, text === '' ? undefined : text);
      }
    } catch (error) {
      done(error as Error);
    }
  });

  app.addHook('onRequest', (request, reply, done) => {
    const type = request.headers['content-type'];
    // The framework refuses what it can't read as a media type; on this wire it counts as "some other type".
    if (type !== undefined && !MEDIA_TYPE.test(type)) request.headers['content-type'] = 'application/octet-stream';
    if (!refuseAnnouncedLength(request, reply)) done();
  });
  app.addHook('onSend', (request, _reply, payload, done) => {
    if (!request.raw.complete) closeGently(request.raw);
    done(null, payload);
  });
  app.setErrorHandler((error, request, reply) => {
    sendMapped(request, reply, error, mapRestError(error));
  });
  app.setNotFoundHandler(notFound);
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(417).end();
  });
  return app;
}
