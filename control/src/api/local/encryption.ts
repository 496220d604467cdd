/** `/local/encryption`: the keys that encrypt connections and variables at rest, for operators on this machine. */
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { countSealedTexts } from '@airlock/store/queries/secret/at-rest';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import { sendJson } from '../http/errors.ts';
import { nowIso } from '../http/instant.ts';
import { parseBody } from '../http/validation.ts';
import { sealAgain } from '../secrets/seal-again.ts';

/** Longest time of one request; whoever asked asks again. */
const SLICE_MS = 10_000;
const rotateBody = z.strictObject({ from_airflow: z.boolean().default(false) });

type Deps = Pick<ControlDeps, 'db' | 'clock' | 'secrets'>;

/** Every key that is configured or has sealed something. */
async function keysInUse({ db, secrets }: Deps) {
  const counted = new Map((await countSealedTexts(db)).map(({ key, texts }) => [key, texts]));
  const configured = secrets.keyIds.map((id, n) => ({
    id,
    state: n === 0 ? 'encrypts' : 'decrypts',
    texts: counted.get(id) ?? 0,
  }));
  const words: Record<string, string> = { '': 'not encrypted', airflow: 'encrypted by Airflow' };
  const others = [...counted].filter(([id]) => !secrets.keyIds.includes(id));
  return [...configured, ...others.map(([id, texts]) => ({ id, state: words[id] ?? 'missing', texts }))];
}

/** Mounts the routes; every one of them asks `identify` first. */
export function registerEncryptionRoutes(
  app: FastifyInstance,
  deps: Deps,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  app.get('/local/encryption', async (request, reply) => {
    await identify(request);
    return sendJson(reply, { keys: await keysInUse(deps) });
  });
  app.post('/local/encryption', async (request, reply) => {
    const by = await identify(request);
    const { from_airflow: fromAirflow } = parseBody(rotateBody, request);
    const { db, secrets, clock } = deps;
    const facts = { key: secrets.keyIds[0] ?? null, from_airflow: fromAirflow };
    const record = (on: Db, extra: object) =>
      insertEventLog(on, {
        nowIso: nowIso(clock.nowMs()),
        event: 'encrypt_again',
        owner: by.name,
        extra: JSON.stringify({ ...facts, ...extra }),
      });
    await record(db, {});
    const startedMs = performance.now();
    const done = await sealAgain({
      db,
      secrets,
      fromAirflow,
      untilMs: startedMs + SLICE_MS,
      nowMs: () => performance.now(),
      record: (tx, kind, rows) => record(tx, { kind, rows }),
    });
    return sendJson(reply, { ...done, keys: await keysInUse(deps) });
  });
}
