import { equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { mayRetry, retryDelaySeconds } from './retries.ts';

type Vector = {
  retry_delay: number;
  multiplier: number;
  max_retry_delay: number | null;
  logical_date: string | null;
  try_number: number;
  delay_seconds: number;
};
const { vectors } = JSON.parse(readFileSync(new URL('../../test/data/retry-delays.json', import.meta.url), 'utf8')) as {
  vectors: Vector[];
};

test('the wait after a failed try is Airflow 3.3.2’s, for every vector', () => {
  equal(vectors.length, 70);
  for (const vector of vectors) {
    const delay = retryDelaySeconds(
      {
        retryDelaySeconds: vector.retry_delay,
        multiplier: vector.multiplier,
        maxRetryDelaySeconds: vector.max_retry_delay,
      },
      {
        dagId: 'demo',
        taskId: 'grp.step',
        logicalDate: vector.logical_date,
        tryNumber: vector.try_number,
        mapIndex: -1,
      },
    );
    equal(delay, vector.delay_seconds, JSON.stringify(vector));
  }
});

test('the indexes of a mapped task wait for different times', () => {
  const delays = new Set(
    Array.from({ length: 20 }, (_, mapIndex) =>
      retryDelaySeconds(
        { retryDelaySeconds: 300, multiplier: 2, maxRetryDelaySeconds: null },
        { dagId: 'demo', taskId: 'step', logicalDate: null, tryNumber: 2, mapIndex },
      ),
    ),
  );
  ok(delays.size > 15);
});

test('a try number in the thousands waits for the cap, not for ever', () => {
  const delay = retryDelaySeconds(
    { retryDelaySeconds: 300, multiplier: 10, maxRetryDelaySeconds: null },
    { dagId: 'demo', taskId: 'step', logicalDate: null, tryNumber: 5000, mapIndex: -1 },
  );
  equal(delay, 86_400);
});

test('two retries mean three tries', () => {
  equal(mayRetry(1, 2), true);
  equal(mayRetry(2, 2), true);
  equal(mayRetry(3, 2), false);
});
