/** A connection as Airflow writes it in one text: an address, or JSON. Pure. */

export type ConnectionFields = {
  readonly conn_type: string;
  readonly description: string | null;
  readonly host: string | null;
  readonly login: string | null;
  readonly password: string | null;
  readonly schema: string | null;
  readonly port: number | null;
  /** JSON text. */
  readonly extra: string | null;
};

const ADDRESS = /^([a-zA-Z][a-zA-Z0-9+._-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?$/s;
const FIELDS = ['conn_type', 'description', 'host', 'login', 'password', 'schema', 'port', 'extra'];

const normalType = (type: string) => (type === 'postgresql' ? 'postgres' : type.replaceAll('-', '_'));

/** `%xx` decoded; what is no such thing stays. */
function unquote(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error('its port is no number up to 65535');
  return port;
}

/** @throws Error in words, without any part of the text: all of it may be secret */
export function parseConnection(text: string): ConnectionFields {
  return text.trimStart().startsWith('{') ? fromJson(text) : fromAddress(text);
}

function fromJson(text: string): ConnectionFields {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    throw new Error('it is no JSON');
  }
  return connectionFromFields(fields as Record<string, unknown>);
}

/** @throws Error in words */
export function connectionFromFields(fields: Readonly<Record<string, unknown>>): ConnectionFields {
  const unknown = Object.keys(fields).filter((name) => !FIELDS.includes(name));
  if (unknown.length > 0) throw new Error(`it has fields that are none of ${FIELDS.join(', ')}`);
  const text = (name: string): string | null => {
    const value = fields[name];
    if (value === undefined || value === null) return null;
    if (typeof value !== 'string') throw new Error(`its ${name} is not a text`);
    return value;
  };
  const { port, extra } = fields;
  const connType = text('conn_type');
  if (connType === null || connType === '') throw new Error('it has no conn_type');
  return {
    conn_type: normalType(connType),
    description: text('description'),
    host: text('host'),
    login: text('login'),
    password: text('password'),
    schema: text('schema'),
    port: port === undefined || port === null || port === '' ? null : portOf(String(port)),
    extra: extraIn(extra),
  };
}

/** Its text. @throws Error no JSON object, neither as a value nor as a text */
function extraIn(extra: unknown): string | null {
  if (extra === undefined || extra === null || extra === '') return null;
  const value = typeof extra === 'string' ? jsonOr(extra) : extra;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('its extra is no JSON object');
  return typeof extra === 'string' ? extra : JSON.stringify(extra);
}

/** `type://login:password@host:port/schema?key=value`; the host may have a protocol of its own: `http://https://host`. */
function fromAddress(text: string): ConnectionFields {
  const outer = /^([a-zA-Z][a-zA-Z0-9+._-]*):\/\//.exec(text);
  if (!outer || text.split('://').length > 3) throw new Error('it is neither JSON nor an address');
  const twice = text.split('://').length === 3;
  const parts = ADDRESS.exec(twice ? text.slice(outer[0].length) : text);
  if (!parts) throw new Error('it is neither JSON nor an address');
  const [, protocol, netloc = '', path = '', query] = parts;
  const at = netloc.lastIndexOf('@');
  const [login, password] = at < 0 ? [null, null] : splitOnce(netloc.slice(0, at), ':');
  const { host, port } = hostOf(netloc.slice(at + 1));
  return {
    conn_type: normalType(outer[1]!.toLowerCase()),
    description: null,
    host: twice && host !== '' ? `${protocol!.toLowerCase()}://${host}` : host,
    login: login === null ? null : unquote(login),
    password: password ? unquote(password) : null,
    schema: unquote(path.slice(1)),
    port,
    extra: query ? extraOf(query) : null,
  };
}

function splitOnce(text: string, separator: string): [string, string | null] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

function hostOf(text: string): { host: string; port: number | null } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  const [name, port] = bracketed ? [bracketed[1]!, bracketed[2] ?? null] : splitOnce(text, ':');
  if (!bracketed && /[[\]]/.test(name)) throw new Error('its host is none');
  const host = unquote(name);
  // A host that is a path (a socket) keeps its case.
  return { host: host.includes('/') ? host : unquote(name.toLowerCase()), port: port ? portOf(port) : null };
}

/** `__extra__` holds all of it; else each value is JSON where it can be read as such. */
function extraOf(query: string): string {
  const pairs: Record<string, string> = Object.fromEntries(new URLSearchParams(query));
  if (pairs.__extra__ !== undefined) return extraIn(pairs.__extra__) ?? '{}';
  return JSON.stringify(Object.fromEntries(Object.entries(pairs).map(([name, text]) => [name, jsonOr(text)])));
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
