/**
 * JSON from strangers: bounded before it is built, and free of the keys that turn into prototypes.
 * One pass over the text counts depth and keys outside strings, so a hostile body costs its own length and nothing more.
 */
import { AppError } from '@airlock/contract/errors';
import { explainJsonError } from './json-error.ts';

/** Deepest nesting that is accepted; the deepest documented body needs about ten levels. */
export const MAX_JSON_DEPTH = 64;
/** Most object members in one body. */
export const MAX_JSON_KEYS = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function refuse(type: string, msg: string, loc: ReadonlyArray<string | number> = ['body']): AppError {
  return new AppError(type === 'json_too_deep' ? 'TOO_DEEP' : 'VALIDATION', {
    public: msg,
    detail: [{ type, loc, msg, input: {} }],
  });
}

/** Counts nesting and members without building anything. @throws TOO_DEEP, VALIDATION */
export function checkJsonBounds(text: string, limits: { depth: number; keys: number }): void {
  let depth = 0;
  let keys = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) {
      // Jump to the closing quote; a quote is escaped when an odd number of backslashes stands before it.
      for (;;) {
        i = text.indexOf('"', i + 1);
        if (i === -1) return; // unterminated: the parser says so
        let back = i - 1;
        while (text.charCodeAt(back) === BACKSLASH) back--;
        if ((i - back) % 2 === 1) break;
      }
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > limits.depth) {
        throw refuse('json_too_deep', `JSON is nested more than ${limits.depth} levels deep`);
      }
    } else if (c === 0x7d || c === 0x5d) depth--;
    else if (c === 0x3a && ++keys > limits.keys) {
      throw refuse('json_too_large', `JSON has more than ${limits.keys} object members`);
    }
  }
}

/**
 * True for the members through which a careless merge would reach a prototype: `__proto__`, and a `constructor` that holds
 * a `prototype`. A `constructor` of any other kind is honest data.
 */
function isForbiddenMember(key: string, value: unknown): boolean {
  if (key === '__proto__') return true;
  return key === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype');
}

/** Walks a value whose depth is known to be bounded. */
function findForbiddenKey(value: unknown, path: Array<string | number>): Array<string | number> | null {
  if (typeof value !== 'object' || value === null) return null;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const found = findForbiddenKey(value[i], [...path, i]);
      if (found) return found;
    }
    return null;
  }
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key];
    if (isForbiddenMember(key, member)) return [...path, key];
    const found = findForbiddenKey(member, [...path, key]);
    if (found) return found;
  }
  return null;
}

/** Whether a forbidden key may be in there; escapes can hide one. */
const SUSPICIOUS = /__proto__|constructor|\\u00/;

/**
 * Parses the body of a request. Empty text gives undefined ("no body").
 * @throws VALIDATION with Airflow's `json_invalid` item, or for a forbidden key · TOO_DEEP
 */
export function parseJsonBody(
  text: string,
  limits: { depth: number; keys: number } = { depth: MAX_JSON_DEPTH, keys: MAX_JSON_KEYS },
): unknown {
  if (text === '') return undefined;
  checkJsonBounds(text, limits);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const { position, error } = explainJsonError(text);
    throw new AppError('VALIDATION', {
      public: 'JSON decode error',
      detail: [{ type: 'json_invalid', loc: ['body', position], msg: 'JSON decode error', input: {}, ctx: { error } }],
    });
  }
  if (SUSPICIOUS.test(text)) {
    const found = findForbiddenKey(value, ['body']);
    if (found) throw refuse('forbidden_key', 'This key is not accepted', found);
  }
  return value;
}
