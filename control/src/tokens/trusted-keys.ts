/**
 * Public keys of others whose tokens count too: `[api_auth] trusted_jwks_url`, a file or an https address. Read again and again,
 * within bounds: what can't be read keeps what was read before, and shows in health when it lasts.
 */
import { readFile } from 'node:fs/promises';
import { get } from 'node:https';
import { AppError, isAppError } from '@airlock/contract/errors';
import { type KeySet, readKeySet } from '@airlock/token-verify';
import type { Logger } from 'pino';

export type TrustedKeys = {
  /** As they were last read; empty before the first success. The same object until they change. */
  readonly keys: () => KeySet;
  /** Reads again because a token names a key that is not here; does nothing when that was tried a moment ago. */
  readonly askAgain: () => Promise<void>;
  /** Three readings in a row were missed. */
  readonly isOverdue: () => boolean;
  readonly close: () => void;
};

export type TrustedKeysOptions = {
  /** An absolute path or an https address; null = nobody else is trusted. */
  readonly location: string | null;
  readonly intervalMs: number;
  /** What an RSA key without `alg` is for. */
  readonly rsaAlgorithm: 'RS256' | 'RS512';
  readonly log: Logger;
  /** Certificates that https is checked by instead of the system's, PEM. */
  readonly ca?: string;
  /** After a failure; doubled up to `intervalMs`. Also how often an unknown key may make us read. */
  readonly retryMs?: number;
};

const RETRY_MS = 10_000;
const MISSED_UNTIL_OVERDUE = 3;
const MAX_BYTES = 256 * 1024;
/** One reading, from the connection to the last byte. */
const DEADLINE_MS = 5_000;
const NOBODY: KeySet = new Map();

/**
 * Reads once. An address that can't be reached does not stop the start: our own tokens need none of it.
 * @throws CONFIG_INVALID a file that can't be read, or a set that must not be used
 */
export async function followTrustedKeys(options: TrustedKeysOptions): Promise<TrustedKeys> {
  const { location, intervalMs, log } = options;
  if (location === null) {
    return { keys: () => NOBODY, askAgain: async () => undefined, isOverdue: () => false, close: () => undefined };
  }
  const retryMs = Math.min(options.retryMs ?? RETRY_MS, intervalMs);
  let keys = NOBODY;
  let text = '';
  let missed = 0;
  let readAtMs = performance.now();
  let reading: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const readOnce = async (): Promise<void> => {
    readAtMs = performance.now();
    const next = location.startsWith('https://') ? await fetchText(location, options.ca) : await readText(location);
    if (next !== text) {
      keys = publicKeys(next, location, options.rsaAlgorithm);
      text = next;
      log.info({ kids: [...keys.keys()] }, 'the trusted keys were read');
    }
    missed = 0;
  };
  const refresh = (): Promise<void> => {
    reading ??= readOnce()
      .catch((error: unknown) => {
        missed++;
        log.warn({ err: error, location, missed }, 'the trusted keys can not be read; those read before stay in use');
      })
      .finally(() => {
        reading = null;
        schedule();
      });
    return reading;
  };
  const schedule = (): void => {
    clearTimeout(timer);
    if (closed) return;
    const waitMs = missed === 0 ? intervalMs : Math.min(intervalMs, retryMs * 2 ** Math.min(missed - 1, 20));
    timer = setTimeout(() => void refresh(), waitMs).unref();
  };

  try {
    await readOnce();
  } catch (error) {
    if (isAppError(error, 'CONFIG_INVALID')) throw error;
    missed = 1;
    log.warn({ err: error, location }, 'the trusted keys can not be reached yet; only our own tokens count until then');
  }
  schedule();
  return {
    keys: () => keys,
    askAgain: async () => {
      if (reading || performance.now() - readAtMs >= retryMs) await refresh();
    },
    isOverdue: () => missed >= MISSED_UNTIL_OVERDUE,
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** @throws CONFIG_INVALID no JSON, a set that `readKeySet` refuses, or one of secrets */
function publicKeys(text: string, location: string, rsaAlgorithm: 'RS256' | 'RS512'): KeySet {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    throw unusable(location, 'it is no JSON');
  }
  let keys: KeySet;
  try {
    keys = readKeySet(set, rsaAlgorithm);
  } catch (error) {
    throw unusable(location, (error as Error).message);
  }
  // Whoever can read the set could sign.
  if ([...keys.values()].some(({ key }) => key.type === 'secret')) throw unusable(location, 'it holds secrets');
  return keys;
}

async function readText(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw unusable(path, `it can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (bytes.length > MAX_BYTES) throw unusable(path, `it is larger than ${MAX_BYTES} bytes`);
  return bytes.toString('utf8');
}

/** No redirects: the operator named this address, and another could be anywhere. @throws Error what went wrong, in words */
function fetchText(url: string, ca: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(
      url,
      {
        agent: false,
        signal: AbortSignal.timeout(DEADLINE_MS),
        headers: { accept: 'application/jwk-set+json, application/json' },
        ...(ca === undefined ? {} : { ca }),
      },
      (answer) => {
        if (answer.statusCode !== 200) {
          answer.destroy();
          reject(new Error(`it answered ${answer.statusCode}`));
          return;
        }
        let bytes = 0;
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_BYTES) answer.destroy(new Error(`it is larger than ${MAX_BYTES} bytes`));
          else chunks.push(chunk);
        });
        answer.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
        answer.on('error', reject);
      },
    );
    request.on('error', reject);
  });
}

function unusable(location: string, why: string): AppError {
  return new AppError('CONFIG_INVALID', {
    public: `[api_auth] trusted_jwks_url names ${location}, and ${why[0]!.toLowerCase()}${why.slice(1)}`.replace(
      /\.?$/,
      '.',
    ),
    remedy: 'Name a JWK set (RFC 7517) with public keys for signatures, each with a kid of its own.',
  });
}
