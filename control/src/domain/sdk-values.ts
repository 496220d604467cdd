/** Values as the Task SDK writes them into arguments, made from values of a document. Pure. @see serialized Dag 3 */
import { floatNumber } from '@airlock/contract/exact-json';
import { isObject, isTagged } from './values.ts';

const sdkObject = (classname: string, version: number, data: unknown) => ({
  __classname__: classname,
  __version__: version,
  __data__: data,
});

/** The fields of an object of a document, in the SDK's form. */
export function sdkFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, sdkValue(value)]));
}

/** What the SDK writes in a way of its own stays as it is. */
function sdkValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sdkValue);
  if (!isObject(value)) return value;
  if (!isTagged(value)) return sdkFields(value);
  const { __type: type, __var: inner } = value;
  switch (type) {
    case 'dict':
      return isObject(inner) ? sdkFields(inner) : value;
    case 'tuple':
    case 'set':
      return Array.isArray(inner) ? sdkObject(`builtins.${type}`, 1, inner.map(sdkValue)) : value;
    case 'timedelta':
      // The SDK takes no integer for it.
      return sdkObject('datetime.timedelta', 2, typeof inner === 'number' ? floatNumber(inner) : inner);
    case 'datetime':
      return typeof inner === 'number' ? sdkInstant(inner) : value;
    default:
      return value;
  }
}

/** @param seconds since the epoch */
export function sdkInstant(seconds: number): object {
  return sdkObject('datetime.datetime', 2, {
    timestamp: seconds,
    tz: sdkObject('builtins.tuple', 1, ['UTC', 'pendulum.tz.timezone.Timezone', 1, true]),
  });
}
