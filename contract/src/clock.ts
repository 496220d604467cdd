/** The only source of "now" in the system: passed in everywhere, also to SQL, so that one fake clock governs a test. */
export type Clock = {
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
};

/** The machine's clock. Only `bin/` files and tests' kits should need it. */
export const systemClock: Clock = { nowMs: () => Date.now() };
