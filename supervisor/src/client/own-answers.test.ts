/** Replies that belong to another request, as a faulty proxy gives them, on real sockets. */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { createExecutionClient } from './index.ts';

const silent = { warn: () => undefined, debug: () => undefined };
const idOf = (head: string): string => /^correlation-id: (.*)\r$/im.exec(head)?.[1] ?? '';
const reply = (status: number, id: string | null): string =>
  `HTTP/1.1 ${status} X\r\n${id === null ? '' : `correlation-id: ${id}\r\n`}content-length: 0\r\n\r\n`;

/** A server that is told what to send for each request, by its number; requests here have no body. */
async function serve(send: (number: number, id: string, socket: Socket) => void) {
  let number = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end + 2);
        text = text.slice(end + 4);
        send(++number, idOf(head), socket);
      }
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const client = createExecutionClient({
    baseUrl: `http://127.0.0.1:${port}/execution`,
    log: silent,
    timeoutMs: 2000,
    retry: { attempts: 3, waitMinMs: 1, waitMaxMs: 2 },
  });
  return {
    get: () => client.call({ token: { current: 'a.b.c' }, method: 'GET', path: '/x' }),
    connections: () => sockets.size,
    requests: () => number,
    async [Symbol.asyncDispose]() {
      await client.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('a reply with another request’s id is no answer: the connection ends and the request is made again', async () => {
  await using server = await serve((number, id, socket) => {
    socket.write(number === 1 ? reply(204, 'somebody-else') : reply(200, id));
  });
  const answer = await server.get();
  deepEqual([answer.status, answer.attempts, server.connections()], [200, 2, 2]);
});

test('the control: a reply with the request’s own id is taken at once', async () => {
  await using server = await serve((_number, id, socket) => socket.write(reply(204, id)));
  for (let i = 0; i < 3; i++) equal((await server.get()).status, 204);
  equal(server.requests(), 3);
});

test('a reply that comes twice is not taken for the next request’s answer, whenever its copy arrives', async () => {
  for (const late of [false, true]) {
    let previous = '';
    await using server = await serve((number, id, socket) => {
      // In one packet, or before the answer to the next request: what a proxy that repeats itself makes of it.
      if (late) socket.write((number === 2 ? reply(204, previous) : '') + reply(200 + number, id));
      else socket.write(reply(200 + number, id) + (number === 1 ? reply(201, id) : ''));
      previous = id;
    });
    equal((await server.get()).status, 201);
    const second = await server.get();
    equal(second.status, 200 + server.requests());
  }
});

test('a reply without an id is taken: a proxy’s own refusal has none', async () => {
  await using server = await serve((_number, _id, socket) => socket.write(reply(413, null)));
  deepEqual([(await server.get()).status, server.requests()], [413, 1]);
});

test('when each reply is another request’s, the call fails, and no such reply is its answer', async () => {
  await using server = await serve((_number, _id, socket) => socket.write(reply(204, 'somebody-else')));
  await rejects(server.get(), { code: 'API_UNREACHABLE' });
  equal(server.requests(), 3);
});
