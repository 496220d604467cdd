/**
 * Searches: list requests whose filters have to look into every row. What one costs is up to who asks, so it is bounded in time,
 * few run at once, and nobody runs two: the connections that heartbeats, reports and the scheduler need are never all taken.
 * @see promises L16, L17
 */
import { AppError } from '@airlock/contract/errors';
import type { Database } from '@airlock/store';
import { boundedQuery } from '@airlock/store/queries/rest-list/bounded';
import type { FastifyRequest } from 'fastify';

/** Searches of one process at a time; the pool has at least two connections and usually eight. */
const AT_ONCE = 2;
/** Searches that wait, of all and of one caller; more are told to come back. */
const MAX_WAITING = 64;
const MAX_WAITING_OF_ONE = 8;
/** Points for each millisecond that a search took, so that whoever searches all the time runs out of them. */
export const POINTS_PER_SEARCH_MS = 50;

const SEARCH_NAMES = /_(?:pattern|search|contains)$|^(?:owners|asset_dependency)$/;

/** Whether a request names a filter that no index answers. Its values may still be bad. */
export function isSearch(request: FastifyRequest): boolean {
  const body = request.method === 'POST' && /\/list$/.test(request.routeOptions.url ?? '') ? request.body : null;
  const names = [...Object.keys((request.query as object | null) ?? {}), ...Object.keys((body as object | null) ?? {})];
  return names.some((name) => SEARCH_NAMES.test(name));
}

type Waiting = { readonly caller: string; readonly start: () => void };

/** Lets `AT_ONCE` pieces of work run, one of each caller, in the order in which they came. */
export type SearchGate = {
  /** @throws RATE_LIMITED when too many wait already */
  readonly run: <T>(caller: string, work: () => Promise<T>) => Promise<T>;
};

export function createSearchGate(): SearchGate {
  const running = new Set<string>();
  const waiting: Waiting[] = [];
  const startNext = () => {
    for (let i = 0; i < waiting.length && running.size < AT_ONCE; ) {
      const { caller, start } = waiting[i]!;
      if (running.has(caller)) {
        i++;
        continue;
      }
      waiting.splice(i, 1);
      running.add(caller);
      start();
    }
  };
  return {
    run: async (caller, work) => {
      const own = waiting.filter((each) => each.caller === caller).length;
      if (waiting.length >= MAX_WAITING || own >= MAX_WAITING_OF_ONE)
        throw new AppError('RATE_LIMITED', { public: 'Too many requests', internal: { retryAfterSeconds: 1 } });
      await new Promise<void>((resolve) => {
        waiting.push({ caller, start: resolve });
        startNext();
      });
      try {
        return await work();
      } finally {
        running.delete(caller);
        startNext();
      }
    },
  };
}

/**
 * The database as a search sees it: each statement is stopped after `seconds`, and changes nothing.
 * @throws SEARCH_TOO_LONG from its queries
 */
export function searchDatabase(db: Database, seconds: number): Database {
  return { ...db, query: (statement) => boundedQuery(db, statement, seconds * 1000) };
}
