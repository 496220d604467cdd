/** Who is at the other end of a Unix socket, by the word of the kernel. @see unix(7), SO_PEERCRED */
import type { Socket } from 'node:net';
import { AppError } from '@airlock/contract/errors';
import { rawCall } from './native/libc.ts';
import { here } from './native/syscalls.ts';

export type PeerCredentials = { readonly pid: number; readonly uid: number; readonly gid: number };

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid. */
const UCRED_BYTES = 12;

/**
 * The process that opened the connection: its ids at the time of connect().
 * @throws INTERNAL the socket is closed, or no Unix socket
 */
export function peerCredentials(socket: Socket): PeerCredentials {
  // Node has no public name for the descriptor of a socket.
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd ?? -1;
  const value = Buffer.alloc(UCRED_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(UCRED_BYTES, 0);
  if (
    fd < 0 ||
    rawCall(here('getsockopt'), fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0 ||
    length.readUInt32LE(0) !== UCRED_BYTES
  ) {
    throw new AppError('INTERNAL', { public: 'The peer of a local connection could not be named.' });
  }
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}
