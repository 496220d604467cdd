/** Limits on requests, on real sockets: what is refused, how fast, and what it costs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import { sendJson } from '../src/api/http/errors.ts';
import { createHttpServer } from '../src/api/http/server.ts';

async function server(options: Parameters<typeof createHttpServer>[1] = {}) {
  const app = createHttpServer({ log: pino({ level: 'silent' }) }, options);
  app.post('/echo', async (request, reply) => sendJson(reply, request.body ?? null));
  app.post('/large', { bodyLimit: 4 * 1024 * 1024 }, async (_request, reply) => sendJson(reply, 'ok'));
  app.get('/fail', async () => {
    throw new Error('a secret of ours');
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as { port: number };
  return { app, port, base: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => void (await app.close()) };
}

/** Sends bytes as they are, and gives everything that came back until the peer closed. */
function raw(port: number, ...chunks: Array<string | Buffer>): Promise<string> {
  return new Promise((resolve) => {
    let seen = '';
    const socket = connect(port, '127.0.0.1', () => {
      for (const chunk of chunks) socket.write(chunk);
    });
    socket.on('data', (data) => {
      seen += data;
    });
    socket.on('error', () => resolve(seen));
    socket.on('close', () => resolve(seen));
  });
}

test('an announced 100 MB body is refused within a second, and nothing of it is kept', async () => {
  await using it = await server();
  const before = process.memoryUsage().rss;
  const began = performance.now();
  const head = 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n';
  const answer = await raw(it.port, head);
  assert.ok(performance.now() - began < 2_000); // the answer is at once; the connection lingers a second
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /airlock-error: BODY_TOO_LARGE/);
  assert.match(answer, /content-type: application\/json\r\n/);
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024);
});

type Poured = {
  /** Everything that came back until the peer closed. */
  readonly seen: string;
  /** Bytes that left this process. */
  readonly sent: number;
};

/** Sends a head and then 100 MB, however the peer takes it. @param stubborn goes on although the peer has said its last word */
function pour(
  port: number,
  head: string,
  chunk: Buffer = Buffer.alloc(64 * 1024, 0x20),
  stubborn = false,
): Promise<Poured> {
  return new Promise((resolve) => {
    let seen = '';
    let left = 1600;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: stubborn });
    const more = () => {
      while (left-- > 0) if (!socket.write(chunk)) return;
      if (stubborn) socket.end();
    };
    socket.write(head);
    socket.on('drain', more);
    socket.on('data', (data) => {
      seen += data;
    });
    socket.on('error', () => undefined); // the connection is cut while we still pour
    socket.on('close', () => resolve({ seen, sent: socket.bytesWritten - socket.writableLength }));
    more();
  });
}

test('a client that pours all of its 100 MB still reads the answer, and the server keeps none of it', async () => {
  await using it = await server();
  const before = process.memoryUsage().rss;
  const head = 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n';
  assert.match((await pour(it.port, head)).seen, /^HTTP\/1\.1 413 /);
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024);
});

test('a refused sender that does not stop is not read for ever: what it can send is bounded, and it reads why', async () => {
  await using it = await server();
  const type = 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  const piece = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, 0x20), Buffer.from('\r\n')]);
  for (const [head, chunk] of [
    [`${type}Content-Length: 104857600\r\n\r\n`, undefined],
    [`${type}Transfer-Encoding: chunked\r\n\r\n`, piece],
  ] as const) {
    const { seen, sent } = await pour(it.port, head, chunk, true);
    assert.match(seen, /^HTTP\/1\.1 413 /);
    // 8 MiB are read into nothing, and the kernel has buffers on both sides.
    assert.ok(sent < 48 * 1024 * 1024, `${sent} bytes were taken`);
  }
});

test('100 MB after a request without a body are no request: their sender reads why, and the server keeps none', async () => {
  await using it = await server();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 10; i++) {
    assert.match((await pour(it.port, 'GET /fail HTTP/1.1\r\nHost: x\r\n\r\n')).seen, /HTTP\/1\.1 400 Bad Request\r\n/);
  }
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024);
});

test('who goes on sending after a refusal is not cut off before it can read why', async () => {
  await using it = await server();
  const socket = connect({ port: it.port, host: '127.0.0.1', allowHalfOpen: true });
  const closed = new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve));
  socket.write('no HTTP at all\r\n\r\n');
  const [answer] = (await once(socket.setEncoding('utf8'), 'data')) as [string];
  assert.match(answer, /^HTTP\/1\.1 400 /);
  const answered = performance.now();
  const more = setInterval(() => socket.write('nor is this\r\n\r\n'), 20);
  await closed;
  clearInterval(more);
  assert.ok(performance.now() - answered > 500, 'cut at once, with the answer possibly unread');
});

test('a body that grows beyond the limit without announcing it is cut off', async () => {
  await using it = await server({ bodyLimitBytes: 10_000 });
  const chunk = `${(5000).toString(16)}\r\n${' '.repeat(5000)}\r\n`;
  const head = 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
  const answer = await raw(it.port, head, chunk, chunk, chunk);
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('a route may allow more, and only that route does', async () => {
  await using it = await server();
  const send = (path: string) =>
    fetch(it.base + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `"${'x'.repeat(2 ** 21)}"`,
    });
  assert.equal((await send('/large')).status, 200);
  assert.equal((await send('/echo')).status, 413);
});

test('headers beyond 16 KiB are refused with 431', async () => {
  await using it = await server();
  const answer = await raw(it.port, `GET /fail HTTP/1.1\r\nHost: x\r\nX-Long: ${'y'.repeat(20_000)}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.match(answer, /airlock-error: HEADERS_TOO_LARGE/);
});

test('a request that never ends is answered with 408 and its connection closed', async () => {
  await using it = await server({ requestTimeoutMs: 500 });
  const answer = await raw(
    it.port,
    'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a"',
  );
  assert.match(answer, /^HTTP\/1\.1 408 /);
});

test('what is no HTTP gets 400 and no crash', async () => {
  await using it = await server();
  assert.match(await raw(it.port, 'HELO mail\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(
    await raw(it.port, 'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n'),
    /^HTTP\/1\.1 400 /,
  );
});

test('text that is not UTF-8 is refused as the reference does', async () => {
  await using it = await server();
  const response = await fetch(`${it.base}/echo`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: Buffer.from([0x22, 0xff, 0x22]),
  });
  assert.equal(response.status, 400);
  assert.deepEqual(await response.json(), { detail: 'There was an error parsing the body' });
});

test('an unexpected failure says nothing about itself, and names the id under which the log has it', async () => {
  await using it = await server();
  const response = await fetch(`${it.base}/fail`);
  assert.equal(response.status, 500);
  assert.equal(await response.text(), 'Internal Server Error');
  assert.match(response.headers.get('airlock-error-id') ?? '', /^[A-Za-z0-9]{8}$/);
});

test('JSON answers carry exactly application/json', async () => {
  await using it = await server();
  const response = await fetch(`${it.base}/nowhere`, { method: 'POST' });
  assert.equal(response.status, 405);
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal(response.headers.get('allow'), 'GET');
});
