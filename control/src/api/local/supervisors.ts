/** `/local/supervisors` and `/local/join-tickets`: who hosts user code here, for operators on this machine. */
import { AppError } from '@airlock/contract/errors';
import { isUuid } from '@airlock/contract/ids';
import { z } from '@airlock/contract/schema';
import { SUPERVISOR_ROLES } from '@airlock/contract/supervisor-api';
import { listSupervisors, listTickets } from '@airlock/store/queries/supervisor/manage';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import { issueTicket, revokeSupervisor, TICKET_SECONDS, withdrawTicket } from '../../executors/supervisors.ts';
import { sendJson } from '../http/errors.ts';
import { wireInstant } from '../http/instant.ts';
import { parseBody } from '../http/validation.ts';

const ticketBody = z.strictObject({
  roles: z.array(z.enum(SUPERVISOR_ROLES)).min(1).max(SUPERVISOR_ROLES.length),
  ttl_seconds: z.int().min(TICKET_SECONDS.min).max(TICKET_SECONDS.max).default(TICKET_SECONDS.default),
  bundles: z.array(z.string().min(1).max(250)).min(1).max(100).nullish(),
});

/** How long one that has ended is still listed. */
const SHOWN_AFTER_MS = 86_400_000;

/** Mounts the routes; every one of them asks `identify` first. */
export function registerSupervisorRoutes(
  app: FastifyInstance,
  deps: Pick<ControlDeps, 'db' | 'clock' | 'config'>,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  const idOf = (request: FastifyRequest) => (request.params as { id: string }).id;

  app.get('/local/supervisors', async (request, reply) => {
    await identify(request);
    const nowMs = deps.clock.nowMs();
    const silentMs = deps.config.scheduler.scheduler_health_check_threshold * 1000;
    const rows = await listSupervisors(deps.db, new Date(nowMs - SHOWN_AFTER_MS).toISOString());
    const supervisors = rows.map((row) => ({
      ...row,
      registered_at: wireInstant(row.registered_at),
      last_seen_at: wireInstant(row.last_seen_at),
      ended_at: wireInstant(row.ended_at),
      state: row.ended_at !== null ? 'ended' : nowMs - Date.parse(row.last_seen_at) > silentMs ? 'silent' : 'alive',
    }));
    return sendJson(reply, { supervisors, total_entries: supervisors.length });
  });
  app.delete('/local/supervisors/:id', async (request, reply) => {
    const by = await identify(request);
    const id = idOf(request);
    if (!isUuid(id)) throw new AppError('NOT_FOUND', { public: `There is no live supervisor ${id}.` });
    return sendJson(reply, await revokeSupervisor(deps, by.name, id));
  });
  app.get('/local/join-tickets', async (request, reply) => {
    await identify(request);
    const rows = await listTickets(deps.db, new Date(deps.clock.nowMs()).toISOString());
    const tickets = rows.map((row) => ({ ...row, expires_at: wireInstant(row.expires_at) }));
    return sendJson(reply, { tickets, total_entries: tickets.length });
  });
  app.post('/local/join-tickets', async (request, reply) => {
    const by = await identify(request);
    const body = parseBody(ticketBody, request);
    const wanted = { roles: [...new Set(body.roles)], ttlSeconds: body.ttl_seconds, bundles: body.bundles };
    return sendJson(reply, await issueTicket(deps, by.name, wanted), 201);
  });
  app.delete('/local/join-tickets/:id', async (request, reply) => {
    const by = await identify(request);
    await withdrawTicket(deps, by.name, idOf(request));
    return reply.code(204).send();
  });
}
