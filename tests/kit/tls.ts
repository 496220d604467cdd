/** Certificates for tests, as files that an operator would give: the key for its owner alone. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { repositoryRoot } from './standalone.ts';

const fixtures = join(repositoryRoot, 'tests/fixtures/tls');

export type TestCertificate = {
  readonly certificatePath: string;
  readonly keyPath: string;
  readonly certificate: string;
};

/** Puts a certificate and its key into `folder`. */
export function testCertificate(folder: string, name: 'server' | 'other' = 'server', keyMode = 0o600): TestCertificate {
  const certificatePath = join(folder, `${name}.pem`);
  const keyPath = join(folder, `${name}.key`);
  copyFileSync(join(fixtures, `${name}.pem`), certificatePath);
  writeFileSync(keyPath, readFileSync(join(fixtures, `${name}.key`)), { mode: keyMode });
  return { certificatePath, keyPath, certificate: readFileSync(certificatePath, 'utf8') };
}

/** One request over TLS to a server on loopback, which must show exactly this certificate. */
export function askTls(
  url: string,
  certificate: string,
  options: { readonly method?: string; readonly body?: string; readonly headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; text: string; protocol: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: options.method ?? 'GET',
        headers: options.headers,
        ca: certificate,
        agent: false,
        servername: 'server.airlock.test',
      },
      (response) => {
        let text = '';
        const protocol = (response.socket as import('node:tls').TLSSocket).getProtocol() ?? '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, protocol }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}
