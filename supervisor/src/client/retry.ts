/** How often, and how long apart, one call is attempted. */
export type RetryPolicy = {
  /** Attempts in total. */
  readonly attempts: number;
  readonly waitMinMs: number;
  readonly waitMaxMs: number;
};

/**
 * Wait before attempt `attempt + 1`, ms: uniform between the least and the least times two to the power of attempts so far,
 * capped. Pure. @param random 0..1
 * @see execution API reference 6.1
 */
export function retryWaitMs(policy: RetryPolicy, attempt: number, random: number): number {
  const ceiling = Math.min(policy.waitMaxMs, policy.waitMinMs * 2 ** attempt);
  return policy.waitMinMs + random * Math.max(0, ceiling - policy.waitMinMs);
}
