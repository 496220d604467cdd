/** Tells the server that a try is alive, and hears from it when the try is over. */
import type { TokenHolder } from '../client/index.ts';
import type { RoleContext } from '../role-context.ts';
import { selfPath, type TaskInstance } from './paths.ts';
import type { TryProcess } from './try-process.ts';

const OVER = new Set([404, 409, 410]);

/**
 * Beats for a try of this worker. Its process is ended when the server says that the try is over, or has not taken as many
 * beats in a row as `[workers] max_failed_heartbeats` says.
 * @returns a function that stops it; nothing is called after that.
 */
export function startHeartbeat(
  { client, config, log }: RoleContext,
  token: TokenHolder,
  ti: TaskInstance,
  place: { readonly hostname: string; readonly pid: number },
  task: Pick<TryProcess, 'end'>,
): () => void {
  const { min_heartbeat_interval: seconds, max_failed_heartbeats: maxFailed } = config.workers;
  const json = { hostname: place.hostname, pid: place.pid };
  let stopped = false;
  let failures = 0;
  let timer: NodeJS.Timeout;
  const beat = async () => {
    const status = await client
      .call({ token, method: 'PUT', path: selfPath(ti, 'heartbeat'), json })
      .then((answer) => answer.status)
      .catch(() => null);
    if (stopped) return;
    if (status !== null && OVER.has(status)) {
      log.info({ ti: ti.id, status }, 'the server says that a try is over');
      return task.end({ kind: 'gone' });
    }
    failures = status !== null && status < 300 ? 0 : failures + 1;
    if (failures >= maxFailed) {
      const reason = `The server could not be reached for ${failures} heartbeats; the task was killed.`;
      return task.end({ kind: 'stopped', reason });
    }
    timer = setTimeout(beat, seconds * 1000);
  };
  timer = setTimeout(beat, seconds * 1000);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
