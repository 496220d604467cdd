/** Whether a service is up, for those that must wait until it is. */
export type Readiness = {
  up(): void;
  down(): void;
  /** Resolves at once while it is up, else when it comes up next, however often it fails on the way. */
  whenUp(): Promise<void>;
};

/** Starts as down. */
export function readiness(): Readiness {
  let isUp = false;
  let next = Promise.withResolvers<void>();
  return {
    up() {
      isUp = true;
      next.resolve();
    },
    down() {
      // One that dies while it starts was never up: who waits for it goes on waiting for the same promise.
      if (isUp) next = Promise.withResolvers<void>();
      isUp = false;
    },
    whenUp: () => next.promise,
  };
}
