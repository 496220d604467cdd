/** `/local/keys`: the keys that sign tokens, for operators on this machine. The signer keeps and changes them. */
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import { sendJson } from '../http/errors.ts';
import { nowIso } from '../http/instant.ts';

/** Mounts the routes; every one of them asks `identify` first. */
export function registerKeyRoutes(
  app: FastifyInstance,
  deps: Pick<ControlDeps, 'db' | 'clock' | 'minter'>,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  const { minter } = deps;
  /** Without its audit row nothing is changed, and without the change there is no row. */
  const audited = <T>(by: string, event: string, extra: object, change: () => Promise<T>): Promise<T> =>
    deps.db.transaction(async (tx) => {
      await insertEventLog(tx, { nowIso: nowIso(deps.clock.nowMs()), event, owner: by, extra: JSON.stringify(extra) });
      return change();
    });

  app.get('/local/keys', async (request, reply) => {
    await identify(request);
    return sendJson(reply, { keys: await minter.listKeys() });
  });
  app.post('/local/keys', async (request, reply) => {
    const by = await identify(request);
    const keys = await audited(by.name, 'rotate_key', {}, () => minter.rotateKey());
    return sendJson(reply, { keys }, 201);
  });
  app.delete('/local/keys/:kid', async (request, reply) => {
    const by = await identify(request);
    const { kid } = request.params as { kid: string };
    const keys = await audited(by.name, 'retire_key', { kid: kid.slice(0, 256) }, () =>
      minter.retireKey(kid.slice(0, 256)),
    );
    return sendJson(reply, { keys });
  });
}
