/**
 * The operator socket: who connects is known by the kernel's word, and only the server's own user, root and the listed
 * operators get further than connect(). Everything done here is recorded as `local:<user>`.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { AppError } from '@airlock/contract/errors';
import { peerCredentials } from '@airlock/proc/peer-credentials';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import { processUserName } from '../../user-name.ts';

const SOCKET_MODE = 0o600;

/** How the audit log names a user id. */
export function operatorName(uid: number): string {
  if (uid === 0) return 'local:root';
  return uid === process.getuid?.() ? `local:${processUserName()}` : `local:uid${uid}`;
}

export type LocalGate = {
  /** Cuts connections of strangers; call before `listen`. */
  readonly guard: (app: FastifyInstance) => void;
  /** The operator behind a request. @throws FORBIDDEN */
  readonly identify: (request: FastifyRequest) => Promise<User>;
};

/** @param operatorUids user ids that may connect besides our own and root's */
export function createLocalGate(operatorUids: readonly number[]): LocalGate {
  const admitted = new Set([0, process.getuid!(), ...operatorUids]);
  const names = new WeakMap<Socket, string>();
  return {
    guard: (app) => {
      app.server.on('connection', (socket: Socket) => {
        try {
          const { uid } = peerCredentials(socket);
          if (admitted.has(uid)) {
            names.set(socket, operatorName(uid));
            return;
          }
          app.log.warn({ uid }, 'refused an operator connection of another user');
        } catch (error) {
          app.log.warn({ err: error }, 'refused an operator connection whose user is unknown');
        }
        socket.destroy();
      });
    },
    identify: async (request) => {
      const name = names.get(request.raw.socket);
      if (!name) throw new AppError('FORBIDDEN', { public: 'Forbidden' });
      return { name, role: 'admin', teams: [], via: 'socket' };
    },
  };
}

/** Whether somebody answers on this socket. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

/**
 * Listens on the socket, mode 0600 from its first moment. One that a dead process left is replaced; a living one is not.
 * @throws PORT_IN_USE another control answers there
 */
export async function listenLocally(app: FastifyInstance, path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) {
    if (await isAlive(path)) {
      throw new AppError('PORT_IN_USE', {
        public: `Another server already answers on ${path}.`,
        remedy: 'Stop the other server, or set another AIRLOCK_HOME.',
      });
    }
    unlinkSync(path);
  }
  const before = process.umask(0o177);
  try {
    await app.listen({ path });
  } finally {
    process.umask(before);
  }
  chmodSync(path, SOCKET_MODE);
}
