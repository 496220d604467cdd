/** Where a browser may be sent after a log-in: within this server, and nowhere else. */
import type { FastifyRequest } from 'fastify';

/** A path of this host: no scheme tricks, no other host, nothing that a browser would read as one. */
export function isSafeNext(next: string, ownOrigin: string): boolean {
  let decoded: string;
  try {
    decoded = decodeURIComponent(next).replaceAll('\\', '/').trim();
  } catch {
    return false;
  }
  if (decoded.startsWith('//')) return false;
  try {
    const url = new URL(decoded, ownOrigin);
    return (url.protocol === 'http:' || url.protocol === 'https:') && url.origin === new URL(ownOrigin).origin;
  } catch {
    return false;
  }
}

/** The same as path and query, for a redirect that can't leave this server whatever a browser makes of it; null when it is not safe. */
export function safePath(next: unknown, request: FastifyRequest): string | null {
  return safePathAt(next, `${request.protocol}://${request.host}`);
}

/** The same where the server knows its address. */
export function safePathAt(next: unknown, own: string): string | null {
  if (typeof next !== 'string' || next === '' || !isSafeNext(next, own)) return null;
  const { pathname, search, hash } = new URL(next, own);
  return pathname.startsWith('//') ? null : pathname + search + hash;
}
