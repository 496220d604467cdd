/** The identity provider, by openid-client: discovery, the address to send people to, and what a callback proves. */
import type { Clock } from '@airlock/contract/clock';
import { AppError } from '@airlock/contract/errors';
import * as client from 'openid-client';
import type { Attempt } from './attempt.ts';
import type { OpenIdSettings } from './settings.ts';

export const CALLBACK_PATH = '/auth/oidc/callback';
/** The provider's addresses are looked up again after that time. */
const DISCOVERY_TTL_MS = 3_600_000;
const TIMEOUT_SECONDS = 10;

/** What the provider vouches for. */
export type Identity = { readonly subject: string; readonly claims: Readonly<Record<string, unknown>> };

export type Provider = {
  readonly begin: () => Promise<{ url: string } & Pick<Attempt, 'state' | 'nonce' | 'verifier'>>;
  /** @param search the query of the callback as it came. @throws INVALID_CREDENTIALS · PROVIDER_UNAVAILABLE */
  readonly finish: (search: string, attempt: Attempt) => Promise<Identity>;
  /** Where a log-out goes on, so that the provider's own session ends too; null when it offers none. */
  readonly logoutUrl: () => Promise<string | null>;
};

/** Whether the provider could not be asked, as opposed to having said something that is refused. */
function isUnavailable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { name, code, status, message, cause } = error as Record<string, unknown>;
  if (name === 'TimeoutError' || code === 'OAUTH_TIMEOUT') return true;
  if (error instanceof TypeError && message === 'fetch failed') return true;
  return (typeof status === 'number' && status >= 500) || isUnavailable(cause);
}

async function asking<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUnavailable(error)) {
      throw new AppError('PROVIDER_UNAVAILABLE', { public: 'The identity provider does not answer.', cause: error });
    }
    const { code, message } = error as { code?: string; message?: string };
    throw new AppError('INVALID_CREDENTIALS', {
      public: 'The log-in at the identity provider did not succeed.',
      remedy: 'Begin the log-in again; if it fails again, ask the administrator.',
      internal: { reason: code ?? message },
      cause: error,
    });
  }
}

export function createProvider(settings: OpenIdSettings, clock: Clock): Provider {
  let known: { config: Promise<client.Configuration>; atMs: number } | null = null;

  const discover = async (): Promise<client.Configuration> => {
    const issuer = new URL(settings.issuer);
    const { clientSecret: secret } = settings;
    const authentication = secret === null ? client.None() : client.ClientSecretBasic(secret);
    const metadata = { [client.clockTolerance]: settings.leewaySeconds };
    const config = await client.discovery(issuer, settings.clientId, metadata, authentication, {
      timeout: TIMEOUT_SECONDS,
      // The rule of [oidc] issuer admits http on this machine only.
      execute: issuer.protocol === 'http:' ? [client.allowInsecureRequests] : [],
    });
    // The signature of the ID token is checked too, and not only the connection that it came over.
    client.enableNonRepudiationChecks(config);
    return config;
  };
  const configuration = (): Promise<client.Configuration> => {
    if (known && clock.nowMs() - known.atMs < DISCOVERY_TTL_MS) return known.config;
    const entry = { config: discover(), atMs: clock.nowMs() };
    known = entry;
    entry.config.catch(() => {
      if (known === entry) known = null;
    });
    return entry.config;
  };

  return {
    begin: () =>
      asking(async () => {
        const config = await configuration();
        const verifier = client.randomPKCECodeVerifier();
        const [state, nonce] = [client.randomState(), client.randomNonce()];
        const url = client.buildAuthorizationUrl(config, {
          redirect_uri: settings.baseUrl + CALLBACK_PATH,
          scope: settings.scope,
          state,
          nonce,
          code_challenge: await client.calculatePKCECodeChallenge(verifier),
          code_challenge_method: 'S256',
        });
        return { url: url.href, state, nonce, verifier };
      }),
    finish: (search, attempt) =>
      asking(async () => {
        const config = await configuration();
        const tokens = await client.authorizationCodeGrant(config, new URL(settings.baseUrl + CALLBACK_PATH + search), {
          expectedState: attempt.state,
          expectedNonce: attempt.nonce,
          pkceCodeVerifier: attempt.verifier,
          idTokenExpected: true,
        });
        const claims = tokens.claims()!;
        const complete = claims[settings.groupsClaim] !== undefined && claims[settings.usernameClaim] !== undefined;
        if (complete || !config.serverMetadata().userinfo_endpoint) return { subject: claims.sub, claims };
        const more = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
        return { subject: claims.sub, claims: { ...more, ...claims } };
      }),
    logoutUrl: async () => {
      // A log-out here is done already: a provider that does not answer must not undo it.
      const config = await configuration().catch(() => null);
      if (!config?.serverMetadata().end_session_endpoint) return null;
      return client.buildEndSessionUrl(config, { post_logout_redirect_uri: `${settings.baseUrl}/auth/login` }).href;
    },
  };
}
