/** Which names of variables, and of members of JSON values, say that what is under them is secret. @see rest-api 5.8 */

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

export type NameTest = (name: string) => boolean;

/**
 * A test that ignores case and takes all punctuation for the same. Pure.
 * @param more names that count besides, separated by commas: `[core] sensitive_var_conn_names`
 */
export function sensitiveNames(more: string): NameTest {
  const plainOf = (name: string) => name.trim().toLowerCase().replace(/\W+/g, '_');
  const words = [...SENSITIVE, ...more.split(',').map(plainOf)].filter((word) => word !== '');
  return (name) => {
    const plain = plainOf(name);
    return words.some((word) => plain.includes(word));
  };
}
