/** Which methods a path has, for the 405 of a path that exists. Decided before authentication, as on the wire. */
import { EXECUTION_POLICY } from './policy.ts';
import { type ApiVersion, isServedIn } from './version.ts';

const PATTERNS = Object.entries(EXECUTION_POLICY).map(([name, { servedIn = {} }]) => {
  const [method, path] = name.split(' ') as [string, string];
  const source = path
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:[a-z_]+/g, '[^/]+')
    .replace(/\*$/, '.+');
  return { method, servedIn, pattern: new RegExp(`^${source}$`, 's') };
});

/** Methods of the routes of a version that `url` (with prefix and query) fits. */
export function allowedMethods(url: string, version: ApiVersion): string[] {
  const path = url.split('?')[0]!.replace(/^\/execution/, '');
  const fitting = PATTERNS.filter(({ pattern, servedIn }) => isServedIn(servedIn, version) && pattern.test(path));
  return [...new Set(fitting.map(({ method }) => method))];
}
