/** The cookie that a browser is logged in by. No script can read it, and other sites' pages do not make a browser send it along with a write. */
import type { Config } from '@airlock/contract/config/index';
import type { FastifyRequest } from 'fastify';

const NAME = '_token';

/** The value of one cookie, quotes removed; null when there is none. */
export function readCookie(request: FastifyRequest, name: string): string | null {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const at = part.indexOf('=');
    if (at < 0 || part.slice(0, at).trim() !== name) continue;
    const value = part
      .slice(at + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
    if (value !== '') return value;
  }
  return null;
}

export const readTokenCookie = (request: FastifyRequest): string | null => readCookie(request, NAME);

/** `Secure` when the browser came by TLS, or the published address says that it always does. */
function attributes(request: FastifyRequest, api: Pick<Config['api'], 'base_url'>): string {
  const isSecure = request.protocol === 'https' || api.base_url?.startsWith('https://') === true;
  return `HttpOnly; Path=/; SameSite=lax${isSecure ? '; Secure' : ''}`;
}

/** Until the browser is closed; the token in it ends by itself. */
export function tokenCookie(request: FastifyRequest, api: Pick<Config['api'], 'base_url'>, token: string): string {
  return `${NAME}=${token}; ${attributes(request, api)}`;
}

/** Tells a browser to forget it. */
export function deletionCookie(request: FastifyRequest, api: Pick<Config['api'], 'base_url'>): string {
  return `${NAME}=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; ${attributes(request, api)}`;
}
