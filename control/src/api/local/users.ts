/** `/local/users`: accounts, for operators on this machine. */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { getAccount, listAccounts } from '@airlock/store/queries/account/get';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import {
  ACCOUNT_ROLES,
  changeAccount,
  createAccount,
  describeAccount,
  removeAccount,
  resetPassword,
  revokeAll,
} from '../auth/accounts.ts';
import { sendJson } from '../http/errors.ts';
import { parseBody } from '../http/validation.ts';
import { wire } from '../http/wire.ts';

const role = wire.word(ACCOUNT_ROLES);
const password = wire.text({ max: 10_000 });
const createBody = z.strictObject({ name: wire.text({ min: 1, max: 250 }), role, password: password.nullish() });
const changeBody = z.strictObject({ role: role.optional(), disabled: wire.bool().optional() });
const passwordBody = z.strictObject({ password });

/** Mounts the routes; every one of them asks `identify` first. */
export function registerUserRoutes(
  app: FastifyInstance,
  deps: Pick<ControlDeps, 'db' | 'clock'>,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  const nameOf = (request: FastifyRequest) => (request.params as { name: string }).name;
  const show = async (name: string) => {
    const row = await getAccount(deps.db, name);
    if (!row) throw new AppError('NOT_FOUND', { public: `There is no user named ${name}.` });
    return describeAccount(row);
  };

  app.get('/local/users', async (request, reply) => {
    await identify(request);
    const users = (await listAccounts(deps.db)).map(describeAccount);
    return sendJson(reply, { users, total_entries: users.length });
  });
  app.post('/local/users', async (request, reply) => {
    const by = await identify(request);
    const body = parseBody(createBody, request);
    await createAccount(deps, by.name, { name: body.name, role: body.role, password: body.password ?? null });
    return sendJson(reply, await show(body.name), 201);
  });
  app.get('/local/users/:name', async (request, reply) => {
    await identify(request);
    return sendJson(reply, await show(nameOf(request)));
  });
  app.patch('/local/users/:name', async (request, reply) => {
    const by = await identify(request);
    const body = parseBody(changeBody, request);
    const name = nameOf(request);
    await changeAccount(deps, by.name, name, body);
    return sendJson(reply, await show(name));
  });
  app.post('/local/users/:name/password', async (request, reply) => {
    const by = await identify(request);
    const body = parseBody(passwordBody, request);
    await resetPassword(deps, by.name, nameOf(request), body.password);
    return sendJson(reply, await show(nameOf(request)));
  });
  app.post('/local/users/:name/revoke-tokens', async (request, reply) => {
    const by = await identify(request);
    await revokeAll(deps, by.name, nameOf(request));
    return sendJson(reply, await show(nameOf(request)));
  });
  app.delete('/local/users/:name', async (request, reply) => {
    const by = await identify(request);
    await removeAccount(deps, by.name, nameOf(request));
    return reply.code(204).send();
  });
}
