/**
 * How a body ends its try in another way than by returning or failing. The brands, not the classes, are what the runner
 * looks at, so that two copies of this package agree.
 */
const SKIP = Symbol.for('airlock.skip');
const FAIL = Symbol.for('airlock.fail');

/** `throw new Skip('nothing to do')`: the task ends as skipped, and so does what depends on it. */
export class Skip extends Error {
  readonly [SKIP] = true;
  constructor(reason = 'skipped by the task') {
    super(reason);
    this.name = 'Skip';
  }
}

/** `throw new Fail('the order is invalid')`: the task fails now, whatever retries are left. */
export class Fail extends Error {
  readonly [FAIL] = true;
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Fail';
  }
}

const branded = (value: unknown, brand: symbol): value is Error =>
  typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true;

/** True for a thrown `Skip`. */
export const isSkip = (value: unknown): value is Error => branded(value, SKIP);
/** True for a thrown `Fail`. */
export const isFail = (value: unknown): value is Error => branded(value, FAIL);
