/** Requests that arrive together share one statement. */
import { isAppError } from '@airlock/contract/errors';

export type Batcher<In, Out> = (input: In) => Promise<Out>;

type Pending<In, Out> = {
  readonly input: In;
  readonly resolve: (output: Out) => void;
  readonly reject: (error: unknown) => void;
};

export type BatcherOptions<In, Out> = {
  /**
   * Answers in the order of its inputs. When it throws an AppError, every input of the batch fails with that; for any other
   * error the batch is halved until the one that caused it is alone.
   */
  readonly send: (inputs: readonly In[]) => Promise<readonly Out[]>;
  /** Inputs with the same key never share a batch, because one statement can change a row only once. */
  readonly keyOf?: (input: In) => string;
  /** Default 500. */
  readonly maxBatch?: number;
  /** Statements in flight at once; what arrives meanwhile waits for the next one, which then carries it all. Default 2. */
  readonly maxInFlight?: number;
};

/**
 * Sends at once while there is room, so a single request waits for nothing but the end of this turn of the event loop;
 * under load the batches grow by themselves.
 */
export function createBatcher<In, Out>(options: BatcherOptions<In, Out>): Batcher<In, Out> {
  const { maxBatch = 500, maxInFlight = 2 } = options;
  let waiting: Pending<In, Out>[] = [];
  let inFlight = 0;
  let scheduled = false;

  const takeBatch = (): Pending<In, Out>[] => {
    const { keyOf } = options;
    if (!keyOf && waiting.length <= maxBatch) {
      const all = waiting;
      waiting = [];
      return all;
    }
    const batch: Pending<In, Out>[] = [];
    const rest: Pending<In, Out>[] = [];
    const keys = new Set<string>();
    for (const entry of waiting) {
      const key = keyOf?.(entry.input);
      if (batch.length >= maxBatch || (key !== undefined && keys.has(key))) rest.push(entry);
      else {
        if (key !== undefined) keys.add(key);
        batch.push(entry);
      }
    }
    waiting = rest;
    return batch;
  };

  const send = async (batch: readonly Pending<In, Out>[]): Promise<void> => {
    try {
      const outputs = await options.send(batch.map((entry) => entry.input));
      for (const [i, entry] of batch.entries()) entry.resolve(outputs[i]!);
    } catch (error) {
      if (batch.length === 1 || isAppError(error)) {
        for (const entry of batch) entry.reject(error);
        return;
      }
      // The database refused a value of one of them (a NUL in a text, say): it must not fail the others.
      const half = batch.length >> 1;
      await Promise.all([send(batch.slice(0, half)), send(batch.slice(half))]);
    }
  };

  const flush = (): void => {
    scheduled = false;
    while (inFlight < maxInFlight && waiting.length > 0) {
      inFlight++;
      void send(takeBatch()).finally(() => {
        inFlight--;
        if (waiting.length > 0) flush();
      });
    }
  };

  return (input) =>
    new Promise((resolve, reject) => {
      waiting.push({ input, resolve, reject });
      if (scheduled) return;
      scheduled = true;
      setImmediate(flush); // after all requests that this turn of the event loop has read
    });
}
