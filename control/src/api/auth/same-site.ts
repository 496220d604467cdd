/**
 * Whether a browser was led here by a page of another site. A cookie rides along by itself, so a request that shows one is
 * believed only when the browser also says where it came from. `Sec-Fetch-Site` and `Origin` can't be set by a page.
 * @see https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header, RFC 6454 7; promise L18
 */
import type { Config } from '@airlock/contract/config/index';
import { AppError } from '@airlock/contract/errors';
import type { FastifyRequest } from 'fastify';

export type Provenance =
  /** The browser names this origin, or one that the operator lists. */
  | 'own'
  /** It names another, or none at all but a site that is not this one. */
  | 'foreign'
  /** It says nothing: no browser of today, or not one. */
  | 'unsaid';

type Headers = Pick<FastifyRequest['headers'], 'origin' | 'referer' | 'sec-fetch-site'>;

function originOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).origin : null;
}

/** Pure. Every header that is there must say the same; one that names another origin outweighs all others. */
export function provenanceOf(headers: Headers, ownOrigins: ReadonlySet<string>): Provenance {
  const { origin, referer, 'sec-fetch-site': site } = headers;
  if (origin !== undefined && !ownOrigins.has(origin)) return 'foreign';
  if (referer !== undefined && !ownOrigins.has(originOf(referer) ?? '')) return 'foreign';
  // A page of a listed origin is another site to the browser, and may call all the same.
  if (origin !== undefined) return 'own';
  if (site === undefined) return 'unsaid';
  return site === 'same-origin' || site === 'none' ? 'own' : 'foreign';
}

type Api = Pick<Config['api'], 'base_url' | 'access_control_allow_origins'>;

/** Where a request says that it comes from, measured by where it arrived, `[api] base_url` and the origins for CORS. */
export function requestProvenance(request: FastifyRequest, api: Api): Provenance {
  const own = new Set(api.access_control_allow_origins.map((origin) => origin.replace(/\/$/, '')));
  own.add(`${request.protocol}://${request.host}`);
  const published = api.base_url === null ? null : originOf(api.base_url);
  if (published !== null) own.add(published);
  return provenanceOf(request.headers, own);
}

/** Refuses what changes something on the strength of a cookie and is not shown to come from a page of ours. @throws FORBIDDEN */
export function requireOwnPage(request: FastifyRequest, api: Api): void {
  if (requestProvenance(request, api) === 'own') return;
  throw new AppError('FORBIDDEN', {
    public: 'Forbidden',
    remedy:
      'Send it from a page of this server ([api] base_url names its address behind a proxy), or with a bearer token.',
  });
}
