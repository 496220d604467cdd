/** What a text may be, where its type alone does not say it. Checked when the configuration is read, so that a typing error is found at start. */
import { isLoopback } from './transport.ts';

export type Rule = {
  /** For people, after "allowed:". */
  readonly allowed: string;
  readonly holds: (text: string) => boolean;
};

/** Whether a function that throws for wrong input accepts `text`. */
function accepts(parse: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  };
}

/** A name or an address of this machine; an IPv6 one may stand in brackets. */
export const HOST: Rule = {
  allowed: 'a host name or an IP address',
  holds: (text) => text.length <= 253 && (/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text) || isIpv6(text)),
};

function isIpv6(text: string): boolean {
  return /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text) && URL.canParse(`http://[${text}]/`);
}

/** Credentials in such an address would be shown in logs, and a query or fragment means nothing there. */
export const HTTP_URL: Rule = {
  allowed: 'an http:// or https:// address without user name, query and fragment',
  holds: (text) => {
    const url = URL.parse(text);
    if (url === null || /\s/.test(text)) return false;
    return ['http:', 'https:'].includes(url.protocol) && url.username + url.password + url.search + url.hash === '';
  },
};

/** What proves who somebody is must not come in clear over a network. */
export const ISSUER: Rule = {
  allowed: 'an https:// address without user name, query and fragment (http:// only on this machine)',
  holds: (text) => {
    const url = URL.parse(text);
    return HTTP_URL.holds(text) && url !== null && (url.protocol === 'https:' || isLoopback(url.hostname));
  },
};

export const CLAIM: Rule = {
  allowed: 'the name of a claim',
  holds: (text) => /^[^\s]{1,200}$/.test(text) && text !== '__proto__',
};

/** As a browser sends it in `Origin`. */
export const ORIGIN: Rule = {
  allowed: 'scheme and host, such as https://tools.example (never *)',
  holds: (text) => HTTP_URL.holds(text) && ['', '/'].includes(text.replace(/^https?:\/\/[^/]+/, '')),
};

const IPV4 = /^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;

/** By hand and not by a schema: reading options loads no schema library. */
function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const longest = IPV4.test(address) ? 32 : isIpv6(address) ? 128 : 0;
  if (longest === 0 || rest.length > 0) return false;
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= longest);
}

/** A network of length 0 is everybody, and then everybody could say where he comes from. */
export const PROXY: Rule = {
  allowed: 'an IP address or a network such as 10.1.0.0/16 (not one of everybody)',
  holds: isNetwork,
};

/** Keys of others: never over a connection on which somebody could put keys of his own. */
export const JWKS_LOCATION: Rule = {
  allowed: 'an absolute path, or an https:// address without user name and fragment (plain http is refused)',
  holds: (text) => {
    if (text.startsWith('/')) return true;
    const url = URL.parse(text);
    return (
      text.startsWith('https://') && url !== null && !/\s/.test(text) && url.username + url.password + url.hash === ''
    );
  },
};

export const PATH: Rule = { allowed: 'a path', holds: (text) => text.trim() !== '' };

export const TIME_ZONE: Rule = {
  allowed: 'utc or an IANA name such as Europe/Stockholm',
  holds: accepts((text) => new Intl.DateTimeFormat('en', { timeZone: text })),
};

export const REGULAR_EXPRESSION: Rule = {
  allowed: 'a regular expression',
  holds: (text) => text !== '' && accepts((pattern) => new RegExp(pattern))(text),
};

export const JSON_LIST: Rule = {
  allowed: 'a JSON list',
  holds: (text) => accepts((json) => JSON.parse(json))(text) && Array.isArray(JSON.parse(text)),
};

export const JSON_OBJECT: Rule = {
  allowed: 'a JSON object',
  holds: (text) => accepts((json) => JSON.parse(json))(text) && /^\s*\{/.test(text),
};

/** The name of an environment variable. */
export const VARIABLE_NAME: Rule = {
  allowed: 'a name of letters, digits and underscores',
  holds: (text) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(text),
};

/** As the wire has it: at least one character, at most 256. */
export const QUEUE_NAME: Rule = { allowed: 'a name of 1 to 256 characters', holds: (text) => text.length <= 256 };

/** For a text that has a meaning only when there is one. */
export const NOT_EMPTY: Rule = { allowed: 'a text that is not empty', holds: (text) => text.trim() !== '' };

export const AUDIENCES: Rule = {
  allowed: 'at least one audience, separated by commas',
  holds: (text) => text.split(',').some((part) => part.trim() !== ''),
};

/** Keys that encrypt what is stored: 32 bytes each. */
export const FERNET_KEYS: Rule = {
  allowed: 'keys of 32 bytes in base64url (44 characters with =), separated by commas',
  holds: (text) => text.split(',').every((key) => /^[A-Za-z0-9_+/-]{43}=?$/.test(key.trim())),
};

export const BUNDLE_PATH: Rule = {
  allowed: 'the name of a bundle, `=` and an absolute path',
  holds: (text) => /^[^=/]+=\/.+$/.test(text),
};
