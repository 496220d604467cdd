/** Reading the tagged value encoding of a document. @see serialized Dag 3 */

type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True for `{__type, __var}`. */
export function isTagged(value: unknown): value is { readonly __type: string; readonly __var: unknown } {
  return isObject(value) && typeof value.__type === 'string' && Object.hasOwn(value, '__var');
}

/** True for the tag that says "no value was given", as opposed to null. */
export function isArgNotSet(value: unknown): boolean {
  return isTagged(value) && value.__type === 'arg_not_set';
}

/**
 * The plain JSON value of an encoded one: dict, set and tuple lose their tags at every depth, instants become ISO text,
 * durations seconds; other tags (references, assets) stay as they are.
 */
export function untag(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(untag);
  if (!isObject(value)) return value;
  if (!isTagged(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, untag(item)]));
  switch (value.__type) {
    case 'dict':
    case 'set':
    case 'tuple':
      return untag(value.__var);
    case 'datetime':
      return typeof value.__var === 'number' ? new Date(value.__var * 1000).toISOString() : value;
    case 'timedelta':
    case 'timezone':
      return value.__var;
    default:
      return value;
  }
}

/** Deepest nesting of arrays and objects in a value, up to `limit` + 1; never recurses, so depth itself is no danger. */
export function depthOf(value: unknown, limit: number): number {
  let layer: unknown[] = [value];
  let depth = 0;
  while (depth <= limit) {
    const next: unknown[] = [];
    for (const item of layer) {
      // One by one: a list of a million items must not become a million arguments.
      if (typeof item === 'object' && item !== null) for (const inner of Object.values(item)) next.push(inner);
    }
    if (!layer.some((item) => typeof item === 'object' && item !== null)) return depth;
    depth += 1;
    layer = next;
  }
  return depth;
}
