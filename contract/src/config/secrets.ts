import { bool, number, optionalText } from './options.ts';
import { JSON_OBJECT } from './rules.ts';

/** The import path that an Airflow's file holds for HashiCorp Vault. */
export const VAULT_BACKEND = 'airflow.providers.hashicorp.secrets.vault.VaultBackend';

/** A store of connections, variables and options outside of Airlock, asked before everything else. */
export const SECRETS_OPTIONS = {
  backend: optionalText({
    readers: ['standalone', 'control'],
    rule: { allowed: `vault or ${VAULT_BACKEND}`, holds: (text) => ['vault', VAULT_BACKEND].includes(text) },
    advice:
      'Where connections and variables of tasks are looked up first: HashiCorp Vault, or nowhere else when it is empty. What it refuses, and what it fails to answer, is looked up nowhere else.',
  }),
  backend_kwargs: optionalText({
    readers: ['standalone', 'control'],
    sensitive: true,
    severalLines: true,
    unit: 'JSON',
    rule: JSON_OBJECT,
    memberVariables: 'backend_kwarg',
    advice:
      'Arguments of the back end, a JSON object with the names of Airflow: url, auth_type, token, mount_point and so on; docs/secrets.md has all of them, and the variables that set single ones.',
  }),
  use_cache: bool(false, {
    readers: ['control'],
    advice:
      'Remember what the back end answered. Faster, and a secret that was changed or withdrawn there goes on being given out for that long.',
  }),
  cache_ttl_seconds: number(900, {
    readers: ['control'],
    unit: 's',
    min: 1,
    max: 86_400,
    advice: 'How long an answer is remembered, with use_cache.',
  }),
};
