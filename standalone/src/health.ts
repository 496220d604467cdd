/** Asking the API server whether everything works. */
import { get as getPlain } from 'node:http';
import { get as getTls } from 'node:https';
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

/** The server that we started; by its own certificate, whatever name it bears. */
export type OwnServer = { readonly url: string; readonly certificate: string | null };

/** Asks until all is healthy, or `stop` aborts. @returns whether it became healthy */
export async function waitHealthy(server: OwnServer, stop: AbortSignal): Promise<boolean> {
  let waitMs = 4;
  while (!stop.aborted) {
    const body = await ask(server, stop);
    if (body !== null && allHealthy(body)) return true;
    await sleep(waitMs, undefined, { signal: stop }).catch(() => undefined);
    waitMs = Math.min(250, waitMs * 1.3);
  }
  return false;
}

function ask({ url, certificate }: OwnServer, signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const tls = certificate && { ca: certificate, allowPartialTrustChain: true, checkServerIdentity: () => undefined };
    const options = { signal, timeout: 2000, agent: false as const, ...tls };
    const get = certificate === null ? getPlain : getTls;
    const request = get(`${url}/api/v2/monitor/health`, options, (response) => {
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
