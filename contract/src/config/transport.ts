/**
 * Where plain http is allowed: between processes of one machine. Over a network whoever is on the way reads passwords and
 * tokens, so that is refused at start unless an option that says so by its name was set. @see promise L31
 */
import { AppError } from '../errors.ts';
import type { Config } from './index.ts';

/** Whether a host, as in a URL or in `[api] host`, is this machine's own loopback interface. Pure. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return bare === 'localhost' || bare === '::1' || /^127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(bare);
}

/** Whether an address would carry what it carries in the clear over a network. Pure. */
export function isPlainOverNetwork(address: string): boolean {
  const url = URL.parse(address);
  return url !== null && url.protocol === 'http:' && !isLoopback(url.hostname);
}

const ACCEPT =
  'or, if it is accepted that others on the way read passwords and tokens, set [api] insecure_plain_http = True';

function refused(text: string, remedy: string): AppError {
  return new AppError('CONFIG_INVALID', { public: text, remedy: `${remedy}; ${ACCEPT}.` });
}

/** @throws CONFIG_INVALID half a certificate, or plain http over a network that nobody asked for by name */
export function checkTransport({ api, core }: Pick<Config, 'api' | 'core'>): void {
  if ((api.ssl_cert === null) !== (api.ssl_key === null)) {
    const [there, missing] = api.ssl_cert === null ? ['ssl_key', 'ssl_cert'] : ['ssl_cert', 'ssl_key'];
    throw new AppError('CONFIG_INVALID', {
      public: `[api] ${there} is set and [api] ${missing} is not: TLS needs both.`,
      remedy: `Set [api] ${missing} too, or neither.`,
    });
  }
  if (api.insecure_plain_http) return;
  if (api.ssl_cert === null && !isLoopback(api.host)) {
    throw refused(
      `[api] host is ${api.host}, so the API server would speak plain http to the network.`,
      'Set [api] ssl_cert and [api] ssl_key, or listen on 127.0.0.1 behind a proxy of this machine that speaks TLS',
    );
  }
  for (const [name, address] of [
    ['[api] base_url', api.base_url],
    ['[core] execution_api_server_url', core.execution_api_server_url],
  ] as const) {
    if (address !== null && isPlainOverNetwork(address))
      throw refused(`${name} is ${address}: plain http to another machine.`, 'Use https there');
  }
}
