/**
 * The one way of a supervisor to the server: keep-alive HTTP to the Execution API, each request with a token and a proof of
 * possession. Retries what the wire's own clients retry (5xx and transport errors, for every method) and nothing else.
 */
import { randomUUID, X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, systemClock } from '@airlock/contract/clock';
import type { ServerTrust } from '@airlock/contract/config/handed';
import { isPlainOverNetwork } from '@airlock/contract/config/transport';
import { AppError } from '@airlock/contract/errors';
import {
  type RegisterRequest,
  registerAnswer,
  SUPERVISOR_ROLES,
  type SupervisorRole,
} from '@airlock/contract/supervisor-api';
import { Agent } from 'undici';
import { createNonces, isWrongNonce } from './nonces.ts';
import { CORRELATION_ID, ownAnswersOnly } from './own-answers.ts';
import { createProofKey, type ProofKey } from './proof-key.ts';
import { type RetryPolicy, retryWaitMs } from './retry.ts';

/** A token that may be replaced by the server with any answer. One for each role and for each try. */
export type TokenHolder = { current: string };

export type CallOptions = {
  readonly token: TokenHolder;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the base address, with a leading slash, escaped, with its query. */
  readonly path: string;
  /** Body as JSON; or `body` as bytes of `contentType`. */
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  readonly contentType?: string | undefined;
  /** Further headers, by lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For one attempt. Default `[workers] execution_api_timeout`. */
  readonly timeoutMs?: number;
  /** False: one attempt. */
  readonly retry?: Partial<RetryPolicy> | false;
  readonly signal?: AbortSignal;
};

export type ExecutionAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Attempts made; above 1 an earlier one may have been carried out although its answer was lost. */
  readonly attempts: number;
  readonly body: Buffer;
  /** The body as JSON, unchecked. @throws SyntaxError */
  json<T>(): T;
  text(): string;
};

export type ExecutionClient = {
  /**
   * Joins with a one-time ticket. Not repeated: a ticket whose answer was lost is used up.
   * @throws AppError INVALID_CREDENTIALS when the server refuses it · API_UNREACHABLE
   */
  register(request: Omit<RegisterRequest, 'public_jwk'>): Promise<{
    readonly supervisorId: string;
    readonly tokens: Readonly<Partial<Record<SupervisorRole, TokenHolder>>>;
  }>;
  /** Any status below 500 is an answer, not an error. @throws AppError API_UNREACHABLE when no attempt got an answer */
  call(options: CallOptions): Promise<ExecutionAnswer>;
  /** Ends all connections; calls under way fail. */
  close(): Promise<void>;
};

export type ExecutionClientOptions = {
  /** Such as http://127.0.0.1:8080/execution ; a slash at the end is ignored. */
  readonly baseUrl: string;
  readonly log: { warn(fields: object, text: string): void; debug(fields: object, text: string): void };
  readonly clock?: Clock;
  readonly key?: ProofKey;
  readonly timeoutMs?: number;
  readonly retry?: RetryPolicy;
  readonly trust?: ServerTrust;
  /** `[api] insecure_plain_http`. */
  readonly insecurePlainHttp?: boolean;
};

const DEFAULT_RETRY: RetryPolicy = { attempts: 5, waitMinMs: 100, waitMaxMs: 10_000 };
/** Largest answer that is read; a module or an XCom is at most half of it. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** @throws AppError CONFIG_INVALID for an address that is no http(s), or plain http to another machine */
function checkedBase(baseUrl: string, insecure: boolean): URL {
  const url = URL.parse(baseUrl.replace(/\/+$/, ''));
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new AppError('CONFIG_INVALID', { public: `The address of the Execution API is no http(s) URL: ${baseUrl}` });
  }
  if (!insecure && isPlainOverNetwork(url.href)) {
    throw new AppError('CONFIG_INVALID', {
      public: `The Execution API at ${url.origin} would be reached by plain http from another machine.`,
      remedy: 'Use https, or an address on the loopback interface.',
    });
  }
  return url;
}

/** What undici hands to `tls.connect`. A pinned certificate is its own authority, and bears whatever name it likes. */
function tlsOptions({ pinned, authorities }: ServerTrust) {
  if (pinned === null) return authorities === null ? {} : { ca: authorities };
  const expected = new X509Certificate(pinned).raw;
  return {
    ca: pinned,
    allowPartialTrustChain: true,
    checkServerIdentity: (_name: string, { raw }: { readonly raw: Buffer }) =>
      raw.equals(expected) ? undefined : new Error('the server shows another certificate than [api] ssl_cert'),
  };
}

async function readBody(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new RangeError(`an answer exceeds ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? Buffer.from(chunks[0]!) : Buffer.concat(chunks, size);
}

function answerOf(
  status: number,
  headers: ExecutionAnswer['headers'],
  body: Buffer,
  attempts: number,
): ExecutionAnswer {
  const text = () => body.toString('utf8');
  return { status, headers, attempts, body, text, json: <T>() => JSON.parse(text()) as T };
}

export function createExecutionClient(options: ExecutionClientOptions): ExecutionClient {
  const base = checkedBase(options.baseUrl, options.insecurePlainHttp ?? false);
  const clock = options.clock ?? systemClock;
  const key = options.key ?? createProofKey();
  const nonces = createNonces(clock.nowMs);
  const retry = options.retry ?? DEFAULT_RETRY;
  const timeoutMs = options.timeoutMs ?? 5000;
  const agent = new Agent({
    connections: 128,
    pipelining: 1,
    keepAliveTimeout: 60_000,
    keepAliveMaxTimeout: 60_000,
    connect: tlsOptions(options.trust ?? { pinned: null, authorities: null }),
  });
  const http = agent.compose(ownAnswersOnly);
  const prefix = base.pathname === '/' ? '' : base.pathname;

  type Wanted = Omit<CallOptions, 'token'> & { readonly token?: TokenHolder };
  const attempt = async (call: Wanted, attempts: number, nonce: string | undefined) => {
    const path = prefix + call.path;
    const url = base.origin + path.split('?', 1)[0];
    const payload = call.json === undefined ? call.body : JSON.stringify(call.json);
    const limit = call.timeoutMs ?? timeoutMs;
    const response = await http.request({
      origin: base.origin,
      path,
      method: call.method,
      headers: {
        [CORRELATION_ID]: randomUUID(),
        ...call.headers,
        ...credentials(call.token?.current, (token) => key.proof(call.method, url, clock.nowMs(), token, nonce)),
        ...(payload === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
      },
      body: payload === undefined ? null : payload,
      headersTimeout: limit,
      bodyTimeout: limit,
      signal: call.signal ?? null,
    });
    // Before the status is looked at: a refused call may carry it too, and only a verified one ever does.
    const fresh = response.headers['refreshed-api-token'];
    if (call.token !== undefined && typeof fresh === 'string') call.token.current = fresh;
    nonces.heard(response.headers);
    const body = await readBody(response.body as AsyncIterable<Uint8Array>);
    return answerOf(response.statusCode, response.headers, body, attempts);
  };

  const call = async (wanted: Wanted): Promise<ExecutionAnswer> => {
    const policy = wanted.retry === false ? { ...retry, attempts: 1 } : { ...retry, ...wanted.retry };
    for (let number = 1; ; number++) {
      let failure: unknown;
      const begun = performance.now();
      try {
        const nonce = nonces.current();
        let answer = await attempt(wanted, number, nonce);
        if (nonce !== undefined && isWrongNonce(answer)) {
          nonces.doubt();
          answer = await attempt(wanted, number, undefined);
        }
        const ms = Math.round((performance.now() - begun) * 10) / 10;
        options.log.debug({ method: wanted.method, path: wanted.path, status: answer.status, ms }, 'execution API');
        if (answer.status < 500 || number >= policy.attempts) return answer;
        failure = answer.status;
      } catch (error) {
        if (wanted.signal?.aborted) throw error;
        if (number >= policy.attempts) throw unreachable(base, error);
        failure = error instanceof Error ? error.message : String(error);
      }
      options.log.warn(
        { method: wanted.method, path: wanted.path, attempt: number, failure },
        'execution API: attempt failed',
      );
      await delay(retryWaitMs(policy, number, Math.random()), undefined, { signal: wanted.signal });
    }
  };

  return {
    call,
    async register(request) {
      const answer = await call({
        method: 'POST',
        path: '/supervisors',
        json: { ...request, public_jwk: key.publicJwk },
        retry: false,
      });
      if (answer.status !== 201) {
        throw new AppError('INVALID_CREDENTIALS', {
          public: `The server refused this supervisor (${answer.status}).`,
          remedy: 'Start it with a new join ticket: airlock workers join-ticket, on the server’s machine.',
          internal: { status: answer.status, body: answer.text().slice(0, 500) },
        });
      }
      const { supervisor_id: supervisorId, tokens } = registerAnswer.parse(answer.json());
      const holders: Partial<Record<SupervisorRole, TokenHolder>> = {};
      for (const role of SUPERVISOR_ROLES) {
        const token = tokens[role];
        if (token !== undefined) holders[role] = { current: token };
      }
      return { supervisorId, tokens: holders };
    },
    close: () => agent.destroy(),
  };
}

/** A bound token goes with a proof; one that is not bound, since the server has binding switched off, goes alone. */
function credentials(token: string | undefined, prove: (token?: string) => string): Record<string, string> {
  if (token === undefined) return { dpop: prove() };
  return isBound(token) ? { authorization: `DPoP ${token}`, dpop: prove(token) } : { authorization: `Bearer ${token}` };
}

/** Whether a token of the server names a key (`cnf`, RFC 7800). Not verified: that is the server's business. */
function isBound(token: string): boolean {
  const claims = Buffer.from(token.split('.', 2)[1] ?? '', 'base64url').toString();
  return claims.includes('"cnf":');
}

function unreachable(base: URL, cause: unknown): AppError {
  return new AppError('API_UNREACHABLE', { public: `The Execution API at ${base.origin} can't be reached.`, cause });
}
