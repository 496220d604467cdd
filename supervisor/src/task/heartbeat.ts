/** Tells the server that a try is alive, and hears from it when the try is over. */
import type { ExecutionClient, TokenHolder } from '../client/index.ts';
import { selfPath, type TaskInstance } from './paths.ts';

const OVER = new Set([404, 409, 410]);

export type HeartbeatOptions = {
  readonly client: ExecutionClient;
  readonly token: TokenHolder;
  readonly ti: TaskInstance;
  readonly hostname: string;
  readonly pid: number;
  readonly intervalMs: number;
  /** Failures of another kind in a row that end the try. */
  readonly maxFailed: number;
  /** The try is over for the server. */
  readonly onGone: (status: number) => void;
  /** The server has not answered for too long. */
  readonly onLost: (failures: number) => void;
};

/** @returns a function that stops it; nothing is called after that. */
export function startHeartbeat(options: HeartbeatOptions): () => void {
  const { client, token, ti, hostname, pid, intervalMs, maxFailed, onGone, onLost } = options;
  let stopped = false;
  let failures = 0;
  let timer: NodeJS.Timeout;
  const beat = async () => {
    const status = await client
      .call({ token, method: 'PUT', path: selfPath(ti, 'heartbeat'), json: { hostname, pid } })
      .then((answer) => answer.status)
      .catch(() => null);
    if (stopped) return;
    if (status !== null && OVER.has(status)) return onGone(status);
    failures = status !== null && status < 300 ? 0 : failures + 1;
    if (failures >= maxFailed) return onLost(failures);
    timer = setTimeout(beat, intervalMs);
  };
  timer = setTimeout(beat, intervalMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
