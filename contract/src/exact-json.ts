/**
 * JSON that only passes through. Authors write `1.0` and integers of any size; as numbers of ours they would come out as `1`
 * and rounded, and the Python that reads them next would get another value, or refuse it.
 */

/** A number as its JSON text: `JSON.stringify` writes it as it is. */
export type RawNumber = { readonly rawJSON: string };

type Reviver = (this: unknown, key: string, value: unknown, context?: { readonly source?: string }) => unknown;
// The compiler does not know these parts of the language yet.
const json = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
};

/** What a text with a number must have in it that a double would change. Strings may look like it too. */
const SUSPICIOUS = /\.\d*0(?!\d)|\d[eE]|[\d.]{16}|-0(?![.\d])/;

const keep: Reviver = (_key, value, context) => {
  const source = context?.source;
  return typeof value === 'number' && source !== undefined && String(value) !== source ? json.rawJSON(source) : value;
};

/**
 * Parses JSON so that `JSON.stringify` of the result has the same numbers: those that a double would change are `RawNumber`s,
 * all others plain numbers. What is checked or counted with is parsed plainly. @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  return SUSPICIOUS.test(text) ? json.parse(text, keep) : (JSON.parse(text) as unknown);
}

/** A number that Python must read as a float: `60.0`. */
export function floatNumber(value: number): number | RawNumber {
  return Number.isSafeInteger(value) ? json.rawJSON(`${value}.0`) : value;
}

/** The same value with nothing but plain numbers, for what checks or counts. */
export function plainJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

export function isRawNumber(value: unknown): value is RawNumber {
  return json.isRawJSON(value);
}
