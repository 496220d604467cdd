/** Asks the process token-service for tokens over its Unix socket. This process holds no signing key. */
import { createConnection, type Socket } from 'node:net';
import type { TokenKind } from '@airlock/contract/claims';
import type { Clock } from '@airlock/contract/clock';
import { AppError } from '@airlock/contract/errors';
import {
  type ListedKey,
  MAX_TOKEN_SERVICE_LINE_BYTES,
  type TokenServiceRequest,
  tokenServiceAnswer,
  type VerificationKeys,
} from '@airlock/contract/ipc/token-service';

export type MintOptions = {
  /** Task instance id, user name or supervisor id. */
  readonly sub: string;
  /** Whole seconds; refused beyond what the kind allows. */
  readonly ttlSeconds: number;
  /** 32 hex digits, already stored where revocation or single use looks. */
  readonly jti: string;
  /** Thumbprint of the key to bind to. */
  readonly jkt?: string;
  /** Issue instant, epoch ms; now by default. The same options give the same token again, byte for byte. */
  readonly issuedAtMs?: number;
};

export type TokenMinter = {
  /** @throws KEY_UNAVAILABLE the signer can't be reached or refuses us · BAD_REQUEST it refuses this token */
  readonly mint: (kind: TokenKind, options: MintOptions) => Promise<string>;
  /** The keys by which tokens are verified. @throws KEY_UNAVAILABLE */
  readonly keys: () => Promise<VerificationKeys>;
  /** Whether the signer's secret signed this token. @throws KEY_UNAVAILABLE */
  readonly checkSecret: (compact: string) => Promise<boolean>;
  /** Keys that Airlock made, newest first. @throws KEY_UNAVAILABLE · CONFLICT the configuration names the one key */
  readonly listKeys: () => Promise<readonly ListedKey[]>;
  /** Makes the next key. @throws as listKeys · CONFLICT one waits already */
  readonly rotateKey: () => Promise<readonly ListedKey[]>;
  /** Forgets a key for good. @throws as listKeys · NOT_FOUND · CONFLICT it signs */
  readonly retireKey: (kid: string) => Promise<readonly ListedKey[]>;
  readonly close: () => void;
};

export type MinterOptions = {
  readonly socketPath: string;
  readonly clock: Clock;
  /** How long one request may take, reconnecting included, ms. */
  readonly timeoutMs?: number;
  /** Requests that may wait at once; beyond it they fail at once instead of piling up. */
  readonly maxWaiting?: number;
};

type Waiting = {
  readonly line: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: AppError) => void;
  readonly timer: NodeJS.Timeout;
};
type Answer = {
  readonly token?: string;
  readonly keys?: VerificationKeys;
  readonly valid?: boolean;
  readonly listed?: readonly ListedKey[];
};
type Ask = TokenServiceRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never;

/** What the signer may say about a request; anything else is a signer that does not work. */
const REFUSALS = ['BAD_REQUEST', 'CONFLICT', 'NOT_FOUND'] as const;
const RECONNECT_MIN_MS = 10;
const RECONNECT_MAX_MS = 500;

/**
 * One connection, many requests in flight, answers in any order. A broken link is made anew, and what was in flight is asked
 * again: minting changes nothing in the service, so a repeat is harmless. The link is opened by the first request.
 */
export function createTokenMinter(options: MinterOptions): TokenMinter {
  const timeoutMs = options.timeoutMs ?? 5_000;
  const maxWaiting = options.maxWaiting ?? 10_000;
  const waiting = new Map<number, Waiting>();
  let nextId = 1;
  let socket: Socket | null = null;
  let connected = false;
  let reconnectMs = RECONNECT_MIN_MS;
  let reconnectTimer: NodeJS.Timeout | undefined;
  let closed = false;

  const settle = (id: number): Waiting | undefined => {
    const entry = waiting.get(id);
    if (entry) clearTimeout(entry.timer);
    waiting.delete(id);
    if (waiting.size === 0) socket?.unref();
    return entry;
  };

  const onLine = (line: string): void => {
    const answer = tokenServiceAnswer.parse(JSON.parse(line));
    const entry = settle(answer.id);
    if (!entry) return; // its time had run out
    if ('error' in answer) {
      const { code, message, remedy } = answer.error;
      const known = REFUSALS.find((each) => each === code);
      entry.reject(
        new AppError(known ?? 'KEY_UNAVAILABLE', { public: message, internal: { code }, ...(known ? { remedy } : {}) }),
      );
    } else entry.resolve(answer);
  };

  const connect = (): void => {
    reconnectTimer = undefined;
    const link = createConnection({ path: options.socketPath });
    socket = link;
    let rest = '';
    link.setEncoding('utf8');
    link.on('connect', () => {
      connected = true;
      for (const entry of waiting.values()) link.write(entry.line);
    });
    link.on('data', (chunk: string) => {
      reconnectMs = RECONNECT_MIN_MS;
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      try {
        for (const line of lines) onLine(line);
        if (rest.length > MAX_TOKEN_SERVICE_LINE_BYTES) throw new Error('line too long');
      } catch {
        link.destroy(); // not our signer, or one of another release
      }
    });
    link.on('error', () => undefined); // 'close' follows
    link.on('close', () => {
      if (socket === link) socket = null;
      connected = false;
      if (!closed && waiting.size > 0) scheduleConnect();
    });
  };

  const scheduleConnect = (): void => {
    if (reconnectTimer || closed) return;
    reconnectTimer = setTimeout(connect, reconnectMs);
    reconnectMs = Math.min(reconnectMs * 2, RECONNECT_MAX_MS);
  };

  const ask = (request: Ask): Promise<Answer> =>
    new Promise((resolve, reject) => {
      if (closed || waiting.size >= maxWaiting) return reject(unavailable(closed ? 'closed' : 'too many waiting'));
      const id = nextId++;
      const line = `${JSON.stringify({ ...request, id })}\n`;
      const timer = setTimeout(() => settle(id)?.reject(unavailable('time out')), timeoutMs);
      waiting.set(id, { line, resolve, reject, timer });
      socket?.ref();
      if (connected) socket?.write(line);
      else if (!socket && !reconnectTimer) connect();
    });

  return {
    mint: async (kind, { sub, ttlSeconds, jti, jkt, issuedAtMs }) => {
      const now_ms = issuedAtMs ?? options.clock.nowMs();
      return expected((await ask({ op: 'mint', kind, sub, ttl_seconds: ttlSeconds, jti, jkt, now_ms })).token);
    },
    keys: async () => expected((await ask({ op: 'keys' })).keys),
    checkSecret: async (token) => expected((await ask({ op: 'check', token })).valid),
    listKeys: async () => expected((await ask({ op: 'list_keys' })).listed),
    rotateKey: async () => expected((await ask({ op: 'rotate_key' })).listed),
    retireKey: async (kid) => expected((await ask({ op: 'retire_key', kid })).listed),
    close: () => {
      closed = true;
      clearTimeout(reconnectTimer);
      for (const id of [...waiting.keys()]) settle(id)?.reject(unavailable('closed'));
      socket?.destroy();
    },
  };
}

function expected<T>(value: T | undefined): T {
  if (value === undefined) throw unavailable('an answer to something else');
  return value;
}

function unavailable(why: string): AppError {
  return new AppError('KEY_UNAVAILABLE', {
    public: 'The token service is temporarily unavailable.',
    internal: { why },
  });
}
