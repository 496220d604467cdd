/**
 * Cross-origin requests from a browser, for the listed origins only. Off by default; `*` is refused, since credentials are
 * always allowed. @see rest-api 1.12; https://fetch.spec.whatwg.org/#http-cors-protocol
 */
import { AppError } from '@airlock/contract/errors';
import type { FastifyInstance } from 'fastify';

const METHODS = 'GET, POST, PATCH, PUT, DELETE';
const MAX_AGE_SECONDS = 600;

/** Adds preflight answers and headers; does nothing without origins. @throws CONFIG_INVALID for `*` */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  if (origins.includes('*')) {
    throw new AppError('CONFIG_INVALID', {
      public: '[api] access_control_allow_origins is *, which would let every site act as whoever is logged in.',
      remedy: 'List the origins that may call, each with scheme and host.',
    });
  }
  const allowed = new Set(origins.map((origin) => origin.replace(/\/$/, '')));
  app.addHook('onRequest', (request, reply, done) => {
    const { origin } = request.headers;
    if (origin === undefined) return done();
    reply.header('vary', 'Origin');
    const isAllowed = allowed.has(origin);
    if (isAllowed) {
      reply.header('access-control-allow-origin', origin).header('access-control-allow-credentials', 'true');
    }
    const asked = request.headers['access-control-request-method'];
    if (request.method !== 'OPTIONS' || asked === undefined) return done();
    if (!isAllowed) {
      reply.code(400).header('content-type', 'text/plain; charset=utf-8').send('Disallowed CORS origin');
      return;
    }
    reply
      .header('access-control-allow-methods', METHODS)
      .header('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '')
      .header('access-control-max-age', String(MAX_AGE_SECONDS))
      .header('content-type', 'text/plain; charset=utf-8')
      .send('OK');
  });
}
