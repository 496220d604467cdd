/**
 * Bounds how long fast-check looks for the smallest input that fails too, where each look takes a second: after `ms` from the
 * first failure every other input counts as good, so that the smallest one found until then is reported.
 */
export function shrinkFor<A extends unknown[]>(
  ms: number,
  judge: (...input: A) => Promise<void>,
): (...input: A) => Promise<void> {
  let endsAtMs = Number.POSITIVE_INFINITY;
  return async (...input) => {
    if (performance.now() > endsAtMs) return;
    try {
      await judge(...input);
    } catch (error) {
      if (endsAtMs === Number.POSITIVE_INFINITY) {
        endsAtMs = performance.now() + ms;
        process.stdout.write(`failed; now a smaller input is looked for: ${String(error)}\n`);
      }
      throw error;
    }
  };
}
