/**
 * A stand-in for HashiCorp Vault, true to its HTTP API where Airlock meets it: key/value engines of both versions, policies
 * by path, tokens with leases, log-ins, seal. No Vault can be had where these tests run; Airflow's own client of Vault was
 * found to read it as it reads Vault.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type VaultDouble = AsyncDisposable & {
  readonly url: string;
  /** `mount/path` → fields; null = deleted in its newest version. */
  readonly secrets: Map<string, Record<string, unknown> | null>;
  /** Paths below which a token may read; no entry = the token is none. */
  readonly tokens: Map<string, { readonly paths: readonly string[] }>;
  /** `auth path` → whether a body may log in, and with what lease, s. */
  readonly logins: Map<
    string,
    (body: Record<string, unknown>) => { readonly paths: readonly string[]; readonly leaseSeconds: number } | null
  >;
  /** Answers everything in its own way; null = as Vault does. */
  override: ((request: IncomingMessage, response: ServerResponse) => void) | null;
  /** Method and path of each request, in order. */
  readonly seen: string[];
};

const PREFIX = '/v1/';

export async function startVaultDouble(
  options: { readonly kvVersion?: 1 | 2; readonly mount?: string } = {},
): Promise<VaultDouble> {
  const { kvVersion = 2, mount = 'secret' } = options;
  const server = createServer((request, response) => void answer(request, response));
  const double = {
    url: '',
    secrets: new Map(),
    tokens: new Map(),
    logins: new Map(),
    override: null,
    seen: [],
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  } as VaultDouble & { url: string };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    double.seen.push(`${request.method} ${request.url}`);
    if (double.override) return double.override(request, response);
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const path = decodeURIComponent((request.url ?? '').slice(PREFIX.length).split('?')[0]!);
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, unknown>;
      const granted = double.logins.get(path)?.(body) ?? null;
      if (granted === null) return send(400, { errors: ['invalid role or secret ID'] });
      const token = `hvs.${randomUUID()}`;
      double.tokens.set(token, { paths: granted.paths });
      return send(200, {
        request_id: randomUUID(),
        auth: {
          client_token: token,
          lease_duration: granted.leaseSeconds,
          renewable: true,
          token_policies: ['default'],
        },
      });
    }
    const held = double.tokens.get(String(request.headers['x-vault-token']));
    if (!held) return send(403, { errors: ['permission denied'] });
    const prefix = kvVersion === 2 ? `${mount}/data/` : `${mount}/`;
    const name = `${mount}/${path.slice(prefix.length)}`;
    if (!path.startsWith(prefix) || !held.paths.some((allowed) => name.startsWith(allowed)))
      return send(403, { errors: ['1 error occurred:\n\t* permission denied\n\n'] });
    const fields = double.secrets.get(name);
    if (fields === undefined) return send(404, { errors: [] });
    const metadata = { version: 1, created_time: '2026-01-01T00:00:00Z', deletion_time: '', destroyed: false };
    if (fields === null) {
      const gone = { data: null, metadata: { ...metadata, deletion_time: '2026-01-02T00:00:00Z' } };
      return send(404, kvVersion === 2 ? { request_id: randomUUID(), data: gone } : { errors: [] });
    }
    send(200, { request_id: randomUUID(), lease_id: '', data: kvVersion === 2 ? { data: fields, metadata } : fields });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  double.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return double;
}
