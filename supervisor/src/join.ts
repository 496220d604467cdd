/** Joins the server and stays joined: one registration with a one-time ticket, then heartbeats. */
import type { RegisterRequest, SupervisorRole } from '@airlock/contract/supervisor-api';
import type { Logger } from 'pino';
import type { ExecutionClient, TokenHolder } from './client/index.ts';

const HEARTBEAT_MS = 5000;
/** One role speaks for all; the others do so themselves every so manieth time, which renews their tokens in the last fifth of 300 s. */
const BEATS_OF_OTHERS = 8;
/** Answers by which the server says that it no longer knows us, or that our token is over. */
const DISMISSED = new Set([401, 403, 404, 410]);

export type Membership = {
  readonly supervisorId: string;
  readonly tokens: Readonly<Partial<Record<SupervisorRole, TokenHolder>>>;
  /** @param holds ids of the tries that the worker role holds now */
  keepAlive(holds: () => readonly string[], dismissed: (status: number) => void): () => void;
};

export async function join(
  client: ExecutionClient,
  request: Omit<RegisterRequest, 'public_jwk'>,
  log: Logger,
): Promise<Membership> {
  const { supervisorId, tokens } = await client.register(request);
  const roles = Object.keys(tokens) as SupervisorRole[];
  /** The role whose token speaks for all. */
  const [speaker] = roles.includes('worker') ? (['worker'] as const) : roles;
  const beat = async (role: SupervisorRole, holds: readonly string[]): Promise<number | null> => {
    try {
      const path = `/supervisors/${supervisorId}/heartbeat`;
      const also = role === speaker ? roles.filter((other) => other !== role) : [];
      const json = { role, also, holds: role === 'worker' ? holds : [] };
      const answer = await client.call({ token: tokens[role]!, method: 'PUT', path, json, retry: false });
      return answer.status;
    } catch (error) {
      log.warn({ err: error, role }, 'heartbeat failed');
      return null;
    }
  };
  return {
    supervisorId,
    tokens,
    keepAlive(holds, dismissed) {
      let beats = 0;
      const timer = setInterval(() => {
        beats++;
        for (const role of roles) {
          if (role !== speaker && beats % BEATS_OF_OTHERS !== 0) continue;
          void beat(role, holds()).then((status) => {
            if (status !== null && DISMISSED.has(status)) dismissed(status);
          });
        }
      }, HEARTBEAT_MS);
      return () => clearInterval(timer);
    },
  };
}
