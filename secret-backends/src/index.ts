/** Stores of secrets outside of Airlock. */
import { AppError } from '@airlock/contract/errors';
import type { ConnectionFields } from './connection-text.ts';
import { openVault } from './vault.ts';
import { type VaultSettings, vaultSettings } from './vault-settings.ts';

export { type ConnectionFields, parseConnection } from './connection-text.ts';
export { type EnvironmentSecrets, environmentBackend, environmentSecrets } from './environment.ts';

/** Where a name can be looked up. Rights are decided before; null = absent, and only then may one look elsewhere. */
export type SecretSource = {
  /** For messages and logs. */
  readonly name: string;
  /** @throws SECRETS_REFUSED, SECRETS_UNAVAILABLE */
  readonly connection: (connId: string, team: string | null) => Promise<ConnectionFields | null>;
  /** @throws SECRETS_REFUSED, SECRETS_UNAVAILABLE */
  readonly variable: (key: string, team: string | null) => Promise<string | null>;
};

export type SecretBackend = SecretSource & {
  /** The text of an option that is set by `_SECRET`. @throws SECRETS_REFUSED, SECRETS_UNAVAILABLE */
  readonly config: (key: string) => Promise<string | null>;
  readonly close: () => void;
};

/** What `[secrets]` says, and what else bears on it. */
export type BackendOptions = {
  readonly backend: string | null;
  /** JSON text. */
  readonly backend_kwargs: string | null;
  readonly multiTeam: boolean;
  /** How long answers are remembered, ms; 0 = not at all. */
  readonly cacheMs: number;
  readonly nowMs: () => number;
};

/**
 * The configured back end; null = none is. Nothing is asked before the first look-up.
 * @throws CONFIG_INVALID arguments that it does not take, or that would send secrets in the clear over a network
 */
export function openSecretBackend(options: BackendOptions): SecretBackend | null {
  if (options.backend === null) return null;
  const settings: VaultSettings = vaultSettings(options.backend_kwargs);
  return openVault(settings, options);
}

/**
 * Asks the back end, once, for the options that are set by `_SECRET`.
 * @returns what it has under a name; null = nothing
 * @throws CONFIG_INVALID nothing is configured to ask · SECRETS_REFUSED, SECRETS_UNAVAILABLE
 */
export async function optionSecrets({
  names,
  ...options
}: { readonly names: readonly string[] } & Omit<BackendOptions, 'cacheMs' | 'nowMs'>): Promise<
  (name: string) => string | null
> {
  const found = new Map<string, string | null>();
  const backend = names.length === 0 ? null : openSecretBackend({ ...options, cacheMs: 0, nowMs: Date.now });
  if (names.length > 0 && backend === null) {
    throw new AppError('CONFIG_INVALID', {
      public: 'An option is set by _SECRET, and [secrets] backend names nobody to ask.',
      remedy: 'Set [secrets] backend and backend_kwargs, or the option itself or its _CMD.',
    });
  }
  try {
    for (const name of names) found.set(name, (await backend?.config(name)) ?? null);
  } finally {
    backend?.close();
  }
  return (name) => found.get(name) ?? null;
}
