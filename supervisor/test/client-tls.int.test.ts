/** Whom the client of the Execution API believes: the certificate that it was given, or the authorities, and nobody else. */
import { equal, match, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { tempHome } from '../../tests/kit/temp-home.ts';
import { testCertificate } from '../../tests/kit/tls.ts';
import { createExecutionClient } from '../src/client/index.ts';

const silent = { warn: () => undefined, debug: () => undefined };

test('a pinned certificate is taken whatever name it bears; any other, and none, is refused before a byte is sent', async () => {
  using folder = tempHome();
  const own = testCertificate(folder.path);
  const other = testCertificate(folder.path, 'other');
  let requests = 0;
  const server = createServer({ cert: own.certificate, key: readFileSync(own.keyPath) }, (_request, response) => {
    requests += 1;
    response.end('{}');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const baseUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}/execution`;
  const ask = async (trust: { pinned: string | null; authorities: string | null }) => {
    const client = createExecutionClient({
      baseUrl,
      log: silent,
      trust,
      retry: { attempts: 1, waitMinMs: 1, waitMaxMs: 1 },
    });
    try {
      return (await client.call({ token: { current: 't' }, method: 'GET', path: '/x' })).status;
    } finally {
      await client.close();
    }
  };
  try {
    const refused = (trust: Parameters<typeof ask>[0], why: RegExp) =>
      rejects(ask(trust), (error: Error & { code?: string }) => {
        equal(error.code, 'API_UNREACHABLE');
        match(String((error.cause as Error).message), why);
        return true;
      });
    await refused({ pinned: other.certificate, authorities: null }, /certificate/);
    await refused({ pinned: null, authorities: null }, /self-signed/);
    await refused({ pinned: null, authorities: other.certificate }, /self-signed/);
    await refused({ pinned: null, authorities: own.certificate }, /IP: 127\.0\.0\.1 is not in the cert/);
    equal(requests, 0);
    equal(await ask({ pinned: own.certificate, authorities: null }), 200, 'the control');
    equal(requests, 1);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
