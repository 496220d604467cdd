/** Which methods a path has, for the 405 of a path that exists. Decided before authentication, as on the wire. */
import { EXECUTION_POLICY } from './policy.ts';

const PATTERNS = Object.keys(EXECUTION_POLICY).map((name) => {
  const [method, path] = name.split(' ') as [string, string];
  const source = path
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:[a-z_]+/g, '[^/]+')
    .replace(/\*$/, '.+');
  return { method, pattern: new RegExp(`^${source}$`, 's') };
});

/** Methods of the routes that `url` (with prefix and query) fits. */
export function allowedMethods(url: string): string[] {
  const path = url.split('?')[0]!.replace(/^\/execution/, '');
  return [...new Set(PATTERNS.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))];
}
