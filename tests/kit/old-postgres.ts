/**
 * A server that speaks just enough of PostgreSQL's protocol to be asked for its version, and reports an old one: no package
 * of a release before 14 has to be installed for the test of its refusal.
 * @see PostgreSQL 18, chapter 54 "Frontend/Backend Protocol"
 */

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';

const SSL_REQUEST = 80_877_103;
const TEXT_TYPE = 25;

function message(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)));
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const int16 = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const ready = message('Z', Buffer.from('I'));

/** The answer to any query: one row with one text. */
function oneRow(name: string, value: string): Buffer {
  const field = [int32(0), int16(0), int32(TEXT_TYPE), int16(-1), int32(-1), int16(0)];
  return Buffer.concat([
    message('T', int16(1), name, ...field),
    message('D', int16(1), int32(Buffer.byteLength(value)), Buffer.from(value)),
    message('C', 'SHOW'),
    ready,
  ]);
}

function serve(socket: Socket, versionNumber: number): void {
  let bytes = Buffer.alloc(0);
  let started = false;
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const at = started ? 1 : 0;
      if (bytes.length < at + 4) return;
      const length = bytes.readInt32BE(at) + at;
      if (bytes.length < length) return;
      const type = started ? String.fromCharCode(bytes[0]!) : '';
      const code = started ? 0 : bytes.readInt32BE(4);
      bytes = bytes.subarray(length);
      if (started) {
        if (type === 'Q') socket.write(oneRow('server_version_num', String(versionNumber)));
        if (type === 'X') socket.end();
      } else if (code === SSL_REQUEST) socket.write('N');
      else {
        started = true;
        const text = `${Math.floor(versionNumber / 10_000)}.${versionNumber % 10_000}`;
        const status = message('S', 'server_version', text);
        socket.write(Buffer.concat([message('R', int32(0)), status, message('K', int32(1), int32(1)), ready]));
      }
    }
  });
}

/** @param versionNumber as `server_version_num` has it: 130014 is 13.14 */
export async function fakePostgres(versionNumber: number): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    serve(socket, versionNumber);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
