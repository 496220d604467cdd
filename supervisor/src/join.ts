/** Joins the server and stays joined: one registration with a one-time ticket, then a heartbeat for each role. */
import type { RegisterRequest, SupervisorRole } from '@airlock/contract/supervisor-api';
import type { Logger } from 'pino';
import type { ExecutionClient, TokenHolder } from './client/index.ts';

const HEARTBEAT_MS = 5000;
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
  const beat = async (role: SupervisorRole, token: TokenHolder, holds: readonly string[]): Promise<number | null> => {
    try {
      const path = `/supervisors/${supervisorId}/heartbeat`;
      const answer = await client.call({ token, method: 'PUT', path, json: { role, holds }, retry: false });
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
      const timer = setInterval(() => {
        for (const [role, token] of Object.entries(tokens) as Array<[SupervisorRole, TokenHolder]>) {
          void beat(role, token, role === 'worker' ? holds() : []).then((status) => {
            if (status !== null && DISMISSED.has(status)) dismissed(status);
          });
        }
      }, HEARTBEAT_MS);
      return () => clearInterval(timer);
    },
  };
}
