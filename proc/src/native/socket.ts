/** Pairs of connected Unix sockets, and descriptors that travel over one. @see unix(7), cmsg(3) */
import { addressOf, mustCall } from './libc.ts';
import { here } from './syscalls.ts';

const AF_UNIX = 1;
const KINDS = { stream: 1, packets: 5 } as const;
const CLOSE_ON_EXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** MSG_DONTWAIT and MSG_NOSIGNAL: one who does not read costs us neither time nor life. */
const SEND_FLAGS = 0x40 | 0x4000;

/** Two connected descriptors, both closed on exec; the caller closes them. `packets` keeps the bounds of each message. */
export function socketPair(kind: keyof typeof KINDS): readonly [number, number] {
  const pair = Buffer.alloc(8);
  mustCall('socketpair', here('socketpair'), kind, AF_UNIX, KINDS[kind] | CLOSE_ON_EXEC, 0, pair);
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/** Sends one message and copies of these descriptors. Never waits. @throws SystemCallError */
export function sendDescriptors(socket: number, message: Buffer, descriptors: readonly number[]): void {
  // struct iovec; struct cmsghdr (length, level, type) and the descriptors, padded to eight; struct msghdr.
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(message), 0);
  vector.writeBigUInt64LE(BigInt(message.byteLength), 8);
  const length = 16 + 4 * descriptors.length;
  const control = Buffer.alloc(Math.ceil(length / 8) * 8);
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  descriptors.forEach((descriptor, index) => {
    control.writeInt32LE(descriptor, 16 + 4 * index);
  });
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(addressOf(vector), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(addressOf(control), 32);
  header.writeBigUInt64LE(BigInt(control.byteLength), 40);
  mustCall('sendmsg', here('sendmsg'), '', socket, header, SEND_FLAGS);
}
