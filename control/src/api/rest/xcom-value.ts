/** A value that a client stores as an XCom. @see rest-api 5.11 */
import type { z } from '@airlock/contract/schema';
import { parseJsonBody } from '../http/json.ts';
import { wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';

/** Names by which Python's serialization marks data that is to become an object of some class. */
const RESERVED = [
  '__cache__',
  '__classname__',
  '__data__',
  '__id__',
  '__source',
  '__type',
  '__var',
  '__version__',
] as const;

/** A text as the JSON that it holds; the text itself when it holds none, or more than a body may. */
export function parsedText(text: string): unknown {
  try {
    return parseJsonBody(text) ?? text;
  } catch {
    return text;
  }
}

/** Where reserved names are found, as `[path, names]`; a text that holds JSON is looked into, since readers parse it. */
export function findReserved(value: unknown, path = 'value'): [path: string, names: string[]] | null {
  if (typeof value === 'string') {
    const inner = parsedText(value);
    return typeof inner === 'object' ? findReserved(inner, path) : null;
  }
  if (typeof value !== 'object' || value === null) return null;
  if (!Array.isArray(value)) {
    const names = RESERVED.filter((name) => Object.hasOwn(value, name));
    if (names.length > 0) return [path, names];
  }
  for (const [key, item] of Object.entries(value)) {
    const found = findReserved(item, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`);
    if (found) return found;
  }
  return null;
}

/** Any JSON without reserved names; null is a value, absence is not. */
export const xcomValue: z.ZodType<unknown> = wire.json().transform((value, ctx) => {
  const found = findReserved(value);
  if (!found) return value;
  const [path, names] = found;
  const error = `XCom ${path} contains reserved serialization keys: ${names.join(', ')}. These keys are reserved for internal use.`;
  return wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
});
