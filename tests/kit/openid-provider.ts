/** A real OpenID Connect provider on loopback, whose people log in without being asked, and whose ID tokens a test may spoil. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import Provider from 'oidc-provider';

/** Claims of a token, as they are in it. */
export type Claims = JWTPayload;
/** What a token says, unverified. */
export const claimsIn = (token: string): Claims => decodeJwt(token);

export const CLIENT = { id: 'airlock', secret: 'the secret of this client' };

export type OpenIdProvider = AsyncDisposable & {
  readonly issuer: string;
  /** Subject to claims; changed by tests. */
  readonly people: Map<string, Record<string, unknown>>;
  /** Who logs in next. */
  next: string;
  /** What becomes of the claims of the next ID tokens. */
  spoil: (claims: JWTPayload) => JWTPayload;
  /** Sign with a key that the provider does not publish. */
  foreignKey: boolean;
  /** Answer everything with 503. */
  down: boolean;
};

/** Collects what a handler writes and hands it to `change` before it is sent. */
function rewriteBody(response: ServerResponse, change: (text: string) => Promise<string>): void {
  const parts: Buffer[] = [];
  const end = response.end.bind(response);
  const add = (chunk: unknown) => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) parts.push(Buffer.from(chunk as string));
  };
  response.write = (chunk: unknown) => {
    add(chunk);
    return true;
  };
  response.end = ((chunk?: unknown) => {
    add(chunk);
    void change(Buffer.concat(parts).toString()).then((text) => {
      response.setHeader('content-length', Buffer.byteLength(text));
      end(text);
    });
    return response;
  }) as typeof response.end;
}

export async function openIdProvider(redirects: {
  readonly callback: string;
  readonly afterLogout: string;
}): Promise<OpenIdProvider> {
  const own = await generateKeyPair('RS256', { extractable: true });
  const foreign = await generateKeyPair('RS256');
  const handlers: { current: (request: IncomingMessage, response: ServerResponse) => void } = {
    current: () => undefined,
  };
  const server = createServer((request, response) => handlers.current(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const people: OpenIdProvider['people'] = new Map();
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        redirect_uris: [redirects.callback],
        post_logout_redirect_uris: [redirects.afterLogout],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(own.privateKey)), kid: 'test', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['of the test provider'] },
    claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true } },
    pkce: { required: () => true },
    interactions: { url: (_ctx: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx: unknown, sub: string) => {
      const claims = people.get(sub);
      return claims && { accountId: sub, claims: () => ({ sub, ...claims }) };
    },
  });
  const self: OpenIdProvider = {
    issuer,
    people,
    next: '',
    spoil: (claims) => claims,
    foreignKey: false,
    down: false,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  const interact = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === 'login') {
      return provider.interactionFinished(request, response, { login: { accountId: self.next } });
    }
    const grant = new provider.Grant({ accountId: session!.accountId, clientId: params.client_id });
    grant.addOIDCScope('openid profile groups');
    return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
  };
  const spoilToken = async (text: string): Promise<string> => {
    const body = JSON.parse(text) as { id_token?: string };
    if (body.id_token === undefined) return text;
    const claims = self.spoil(decodeJwt(body.id_token));
    const { privateKey } = self.foreignKey ? foreign : own;
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'test' }).sign(privateKey);
    return JSON.stringify({ ...body, id_token: token });
  };
  const answer = provider.callback();
  handlers.current = (request, response) => {
    if (self.down) {
      response.writeHead(503).end();
      return;
    }
    if (request.url!.startsWith('/interaction/')) {
      interact(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
      return;
    }
    if (request.method === 'POST' && request.url === '/token') rewriteBody(response, spoilToken);
    answer(request, response);
  };
  return self;
}
