/**
 * Expensive work, a little at a time: so much at once, so many in line, and no more. Whoever finds the line full is told to come
 * again, at once, instead of waiting in a memory that grows.
 */
import { AppError } from '@airlock/contract/errors';

export type Gate = {
  /** @throws RATE_LIMITED the line is full */
  readonly enter: <T>(work: () => Promise<T>) => Promise<T>;
};

export function createGate(limits: { readonly atOnce: number; readonly inLine: number }): Gate {
  let running = 0;
  const line: Array<() => void> = [];
  return {
    enter: async (work) => {
      if (running >= limits.atOnce) {
        if (line.length >= limits.inLine) {
          throw new AppError('RATE_LIMITED', {
            public: 'Too many log-ins at this moment. Try again later.',
            internal: { retryAfterSeconds: 1 },
          });
        }
        // Who is let in takes over the place of who has left, so nobody slips in between.
        await new Promise<void>((resolve) => line.push(resolve));
      } else running++;
      try {
        return await work();
      } finally {
        const next = line.shift();
        if (next) next();
        else running--;
      }
    },
  };
}
