/**
 * From what Airflow exports (`airflow variables|connections|pools export`, `airflowctl pools export`) or answers over its REST
 * API to what our REST API takes. Nothing is guessed: what can't be taken over is named with its reason. Pure.
 */
import { looksSealed, openFernet } from './fernet.ts';

export const KINDS = ['pools', 'variables', 'connections'] as const;
export type Kind = (typeof KINDS)[number];
export type Entity = Readonly<Record<string, unknown>>;
/** `left` = not imported; `without` = imported, but something of it is missing. */
export type Problem = { readonly name: string; readonly what: 'left' | 'without'; readonly reason: string };
export type Found = { readonly entities: readonly Entity[]; readonly problems: readonly Problem[] };

/** Member that names a thing of this kind. */
export const NAME_OF: Readonly<Record<Kind, string>> = {
  pools: 'name',
  variables: 'key',
  connections: 'connection_id',
};

const HIDDEN = '***';
const MASKED = 'Airflow shows it masked';
const SEALED = 'it is encrypted, and none of the given keys opens it';

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A file is an object by name, or a list whose items name themselves. Null: neither. */
export function itemsOf(kind: Kind, exported: unknown): Array<readonly [name: string, value: unknown]> | null {
  if (isObject(exported)) return Object.entries(exported);
  if (!Array.isArray(exported)) return null;
  const named = exported.map((item) => (isObject(item) ? item[NAME_OF[kind]] : undefined));
  if (!named.every((name) => typeof name === 'string')) return null;
  return exported.map((item, index) => [named[index] as string, item] as const);
}

type Opened = { readonly text: string } | { readonly reason: string };

function opened(text: string, keys: readonly Buffer[]): Opened {
  if (text === HIDDEN) return { reason: MASKED };
  if (!looksSealed(text)) return { text };
  const found = openFernet(keys, text);
  return found === null ? { reason: SEALED } : { text: found };
}

/** Airflow's own rule: an object with a `value` holds value and description, any other one is the value. */
function variable(name: string, item: unknown, keys: readonly Buffer[]): Entity | Problem {
  const wrapped = isObject(item) && Boolean(item.value);
  const value = wrapped ? item.value : item;
  const description = wrapped && typeof item.description === 'string' ? item.description : null;
  if (typeof value !== 'string') return { key: name, value, description };
  const found = opened(value, keys);
  return 'reason' in found
    ? { name, what: 'left', reason: found.reason }
    : { key: name, value: found.text, description };
}

/** Members of `extra` that are masked are left out; what is left is the text again. */
function withoutMasked(extra: string): { readonly extra: string; readonly gone: readonly string[] } {
  if (!extra.includes(HIDDEN)) return { extra, gone: [] };
  let value: unknown;
  try {
    value = JSON.parse(extra);
  } catch {
    return { extra, gone: [] };
  }
  if (!isObject(value)) return { extra, gone: [] };
  const masked = (each: unknown) => JSON.stringify(each).includes(`"${HIDDEN}"`);
  const gone = Object.keys(value).filter((key) => masked((value as Record<string, unknown>)[key]));
  const rest = Object.fromEntries(Object.entries(value).filter(([key]) => !gone.includes(key)));
  return gone.length === 0 ? { extra, gone } : { extra: JSON.stringify(rest), gone };
}

function connection(name: string, item: unknown, keys: readonly Buffer[]): { entity?: Entity; problems: Problem[] } {
  if (!isObject(item)) {
    const reason = 'it is no object with the members of a connection; export with --file-format json';
    return { problems: [{ name, what: 'left', reason }] };
  }
  const problems: Problem[] = [];
  const entity: Record<string, unknown> = { connection_id: name };
  for (const member of ['conn_type', 'description', 'host', 'login', 'schema', 'port']) {
    if (item[member] !== null && item[member] !== undefined) entity[member] = item[member];
  }
  for (const member of ['password', 'extra']) {
    const value = item[member];
    // Older exports have extra as an object.
    const text = isObject(value) ? JSON.stringify(value) : value;
    if (typeof text !== 'string' || text === '') continue;
    const found = opened(text, keys);
    if ('reason' in found) problems.push({ name, what: 'without', reason: `${member}: ${found.reason}` });
    else entity[member] = found.text;
  }
  if (typeof entity.extra === 'string') {
    const { extra, gone } = withoutMasked(entity.extra);
    entity.extra = extra;
    for (const key of gone) problems.push({ name, what: 'without', reason: `extra ${key}: ${MASKED}` });
  }
  return { entity, problems };
}

function pool(name: string, item: unknown): Entity | Problem {
  if (!isObject(item) || !Number.isInteger(item.slots)) {
    return { name, what: 'left', reason: 'it is no object with slots' };
  }
  const { slots, description = null, include_deferred = false } = item;
  return { name, slots, description, include_deferred };
}

/** @param keys Fernet keys of that Airflow, for values that come straight from its tables */
export function readExport(
  kind: Kind,
  items: ReadonlyArray<readonly [name: string, value: unknown]>,
  keys: readonly Buffer[],
): Found {
  const entities: Entity[] = [];
  const problems: Problem[] = [];
  for (const [name, item] of items) {
    if (kind === 'connections') {
      const found = connection(name, item, keys);
      if (found.entity) entities.push(found.entity);
      problems.push(...found.problems);
      continue;
    }
    const found = kind === 'variables' ? variable(name, item, keys) : pool(name, item);
    if ('reason' in found) problems.push(found as Problem);
    else entities.push(found);
  }
  return { entities, problems };
}
