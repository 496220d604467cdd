/** `/local/teams`: teams and who is in them, for operators on this machine. */
import { z } from '@airlock/contract/schema';
import { listTeams } from '@airlock/store/queries/team/manage';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import { createTeam, joinTeam, leaveTeam, removeTeam } from '../../auth-managers/teams.ts';
import type { ControlDeps } from '../../deps.ts';
import { sendJson } from '../http/errors.ts';
import { parseBody } from '../http/validation.ts';
import { wire } from '../http/wire.ts';

const createBody = z.strictObject({ name: wire.text({ min: 1, max: 250 }) });

/** Mounts the routes; every one of them asks `identify` first. */
export function registerTeamRoutes(
  app: FastifyInstance,
  deps: Pick<ControlDeps, 'db' | 'clock'>,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  const params = (request: FastifyRequest) => request.params as { team: string; user: string };
  const member = (request: FastifyRequest) => ({ team: params(request).team, account: params(request).user });

  app.get('/local/teams', async (request, reply) => {
    await identify(request);
    const teams = await listTeams(deps.db);
    return sendJson(reply, { teams, total_entries: teams.length });
  });
  app.post('/local/teams', async (request, reply) => {
    const by = await identify(request);
    const { name } = parseBody(createBody, request);
    await createTeam(deps, by.name, name);
    return sendJson(reply, { name, bundles: [], users: [] }, 201);
  });
  app.delete('/local/teams/:team', async (request, reply) => {
    const by = await identify(request);
    await removeTeam(deps, by.name, params(request).team);
    return reply.code(204).send();
  });
  app.put('/local/teams/:team/users/:user', async (request, reply) => {
    const by = await identify(request);
    await joinTeam(deps, by.name, member(request));
    return reply.code(204).send();
  });
  app.delete('/local/teams/:team/users/:user', async (request, reply) => {
    const by = await identify(request);
    await leaveTeam(deps, by.name, member(request));
    return reply.code(204).send();
  });
}
