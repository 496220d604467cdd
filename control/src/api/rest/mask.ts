/**
 * Hiding what looks like a secret by its name, in answers and in the audit log. Unlike the reference, numbers and whole
 * objects under such a name are hidden too. @see rest-api 5.8, 9.1
 */
const SENSITIVE = [
  'access_key',
  'access_token',
  'api_key',
  'apikey',
  'auth_header',
  'authorization',
  'bearer',
  'connection_string',
  'dsn',
  'passphrase',
  'passwd',
  'password',
  'private_key',
  'proxy',
  'proxy_password',
  'proxies',
  'secret',
  'service_account',
  'service_key',
  'token',
  'keyfile_dict',
  'webhook_url',
];
export const HIDDEN = '***';

export type Masker = {
  readonly isSensitive: (name: string) => boolean;
  /** `value` with everything under sensitive names hidden. `name` is the value's own. Null stays null. */
  readonly mask: (value: unknown, name?: string) => unknown;
};

/** @param extraNames `[core] sensitive_var_conn_names`; @param enabled `[core] hide_sensitive_var_conn_fields` */
export function createMasker(extraNames: string, enabled: boolean): Masker {
  const plainOf = (name: string) => name.trim().toLowerCase().replace(/\W+/g, '_');
  const own = extraNames.split(',').map(plainOf);
  const words = [...SENSITIVE, ...own].filter((word) => word !== '');
  const isSensitive = (name: string): boolean => {
    if (!enabled) return false;
    const plain = plainOf(name);
    return words.some((word) => plain.includes(word));
  };
  const mask = (value: unknown, name?: string): unknown => {
    if (value === null || value === undefined) return value;
    if (name !== undefined && isSensitive(name)) return HIDDEN;
    if (Array.isArray(value)) return value.map((item) => mask(item));
    if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mask(item, key)]));
  };
  return { isSensitive, mask };
}
