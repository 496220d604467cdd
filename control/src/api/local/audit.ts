/** `/local/audit`: the chain of the audit log, page by page, for who checks it on this machine. */
import { z } from '@airlock/contract/schema';
import { readChain, unlinkedEvents } from '@airlock/store/queries/event-log/chain';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import { sendJson } from '../http/errors.ts';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';

const PAGE = 1000;
/** Unlinked rows that are named; there are more only while nobody links. */
const MAX_UNLINKED = 1000;
const query = z.strictObject({ after: wire.int({ ge: 0 }).default(0) });

/** Mounts the route; it asks `identify` first. */
export function registerAuditRoutes(
  app: FastifyInstance,
  deps: Pick<ControlDeps, 'db'>,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  app.get('/local/audit', async (request, reply) => {
    await identify(request);
    const { after } = parseQuery(query, request);
    const { ends, rows } = await readChain(deps.db, { after, limit: PAGE });
    // Asked after the ends, so that a row which is linked meanwhile is named here rather than nowhere.
    const unlinked = await unlinkedEvents(deps.db, MAX_UNLINKED);
    return sendJson(reply, { ends, rows, unlinked });
  });
}
