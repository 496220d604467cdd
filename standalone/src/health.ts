/** Asking the API server whether everything works. */
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const PARTS = ['metadatabase', 'scheduler', 'dag_processor'] as const;

/** True when the health answer calls every part that standalone runs healthy. */
export function allHealthy(body: string): boolean {
  try {
    const health = JSON.parse(body) as Record<string, { status?: unknown } | undefined>;
    return PARTS.every((part) => health[part]?.status === 'healthy');
  } catch {
    return false;
  }
}

/** Asks until all is healthy, or `stop` aborts. @returns whether it became healthy */
export async function waitHealthy(url: string, stop: AbortSignal): Promise<boolean> {
  let waitMs = 4;
  while (!stop.aborted) {
    const body = await ask(`${url}/api/v2/monitor/health`, stop);
    if (body !== null && allHealthy(body)) return true;
    await sleep(waitMs, undefined, { signal: stop }).catch(() => undefined);
    waitMs = Math.min(250, waitMs * 1.3);
  }
  return false;
}

function ask(url: string, signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const request = get(url, { signal, timeout: 2000, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > 64 * 1024) response.destroy();
      });
      response.on('end', () => resolve(response.statusCode === 200 ? body : null));
      response.on('error', () => resolve(null));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}
