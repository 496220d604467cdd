/** The driver of both systems: triggers over REST, looks every few ms, and counts until the run is a success. drive.py does the same from a shell. */
import { setTimeout as pause } from 'node:timers/promises';

export type Driver = { readonly measure: (dagId: string, repeat: number, pollMs?: number) => Promise<number[]> };

type Run = { dag_run_id: string; state: string };

const LONGEST_RUN_MS = 300_000;
const DAG_APPEARS_MS = 120_000;

/**
 * @param base without a slash at the end.
 * @param usualPollMs between two looks; each costs the system under measurement something too: Airlock 2.3 ms of a core.
 * @throws Error when a run fails or lasts longer than five minutes
 */
export async function createDriver(
  base: string,
  username: string,
  password: string,
  usualPollMs: number,
): Promise<Driver> {
  let token: string | undefined;
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const answer = await fetch(base + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  };
  token = (await call<{ access_token: string }>('POST', '/auth/token', { username, password })).access_token;
  const unpause = async (dagId: string) => {
    const deadline = performance.now() + DAG_APPEARS_MS;
    for (;;) {
      const done = await call('PATCH', `/api/v2/dags/${dagId}?update_mask=is_paused`, { is_paused: false }).then(
        () => null,
        (error: Error) => error,
      );
      if (done === null) return;
      if (performance.now() > deadline) throw done;
      await pause(100);
    }
  };
  return {
    measure: async (dagId, repeat, pollMs = usualPollMs) => {
      await unpause(dagId);
      const seconds: number[] = [];
      for (let i = 0; i < repeat; i++) {
        const beganMs = performance.now();
        let run = await call<Run>('POST', `/api/v2/dags/${dagId}/dagRuns`, {
          logical_date: null,
        });
        while (run.state !== 'success') {
          if (run.state === 'failed') throw new Error(`a run of ${dagId} failed`);
          if (performance.now() - beganMs > LONGEST_RUN_MS)
            throw new Error(`a run of ${dagId} takes longer than ${LONGEST_RUN_MS / 1000} s`);
          await pause(pollMs);
          // A busy Airflow answers 500 now and then when it is only looked at; the run goes on.
          run = await call<Run>('GET', `/api/v2/dags/${dagId}/dagRuns/${run.dag_run_id}`).catch(() => run);
        }
        seconds.push((performance.now() - beganMs) / 1000);
      }
      return seconds;
    },
  };
}

/** The value below which the share `q` of the sorted values lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
