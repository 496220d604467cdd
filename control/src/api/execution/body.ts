/** Bodies of the Execution API: JSON with the limits of the route, or bytes that are kept as they are. */
import { AppError } from '@airlock/contract/errors';
import type { FastifyInstance } from 'fastify';
import { MAX_JSON_DEPTH, MAX_JSON_KEYS, parseJsonBody } from '../http/json.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Execution API only. */
    bodyType?: 'json' | 'bytes';
    maxKeys?: number;
  }
}

const JSON_MEDIA = /^application\/(?:[a-z0-9.!#$&^_+-]+\+)?json\s*(?:;|$)/i;

/** Replaces the parsers that `api` has inherited. */
export function addBodyParser(api: FastifyInstance): void {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  api.removeAllContentTypeParsers();
  api.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const { bodyType = 'json', maxKeys = MAX_JSON_KEYS } = request.routeOptions.config;
      if (bodyType === 'bytes') return done(null, body);
      const text = decode(decoder, body as Buffer);
      request.bodyText = text === '' ? null : text;
      if (JSON_MEDIA.test(request.headers['content-type'] ?? '')) {
        return done(null, parseJsonBody(text, { depth: MAX_JSON_DEPTH, keys: maxKeys }));
      }
      // Without the content type the body is a text, which no schema of an object accepts.
      request.bodyIsJson = text === '';
      return done(null, text === '' ? undefined : text);
    } catch (error) {
      return done(error as Error);
    }
  });
}

function decode(decoder: TextDecoder, body: Buffer): string {
  try {
    return decoder.decode(body);
  } catch {
    throw new AppError('BAD_REQUEST', { public: 'There was an error parsing the body' });
  }
}
