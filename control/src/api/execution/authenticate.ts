/** Who calls: the token, verified by the one profile of its kind, and the proof that its holder has the key. */
import type { ExecutionClaims, SupervisorClaims, TokenKind, WorkloadClaims } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import { isUuid } from '@airlock/contract/ids';
import { TRIGGER_TRY_HEADER } from '@airlock/contract/supervisor-api';
import {
  isOfAirflowForm,
  type ProofVerifier,
  type ProvenKey,
  peekUnverifiedKind,
  type TokenVerifier,
} from '@airlock/token-verify';
import type { FastifyRequest } from 'fastify';
import type { ExecutionPolicyRow } from './policy.ts';
import type { Refused } from './refusals.ts';
import type { FirstShown } from './shown-proofs.ts';

/** A proven caller. `token` is the text that was sent. */
export type Identity = {
  readonly kind: Exclude<TokenKind, 'user'>;
  readonly claims: WorkloadClaims | ExecutionClaims | SupervisorClaims;
  /** Whose row decides: the subject of the token, or the try for which a triggerer asks. */
  readonly subject: string;
  readonly token: string;
  /** Thumbprint of the key whose possession was proven; null for a plain bearer. */
  readonly jkt: string | null;
  /** Another scheduler has made the token. @see `[execution_api] airflow_workload_tokens` */
  readonly foreign: boolean;
};

export type Authenticator = {
  /**
   * @throws TOKEN_MISSING no usable credential · TOKEN_INVALID, TOKEN_EXPIRED · TOKEN_SCOPE another kind than the route's ·
   *   TI_NOT_SELF the subject is not the one in the path, both with `internal.refused` · PROOF_NONCE the proof is for another process
   */
  readonly identify: (request: FastifyRequest, row: ExecutionPolicyRow, selfId: string | null) => Promise<Identity>;
  /** The key of a caller that has no token yet. @throws TOKEN_INVALID, PROOF_NONCE */
  readonly proveKey: (request: FastifyRequest) => Promise<ProvenKey>;
};

const SCHEMES = /^(bearer|dpop) +([^ ]+)$/i;
/** How kinds are called in answers. */
const SHOWN_KINDS = ['execution', 'workload', 'worker', 'parse', 'trigger'];

export function createAuthenticator(options: {
  readonly verifier: TokenVerifier;
  readonly proofs: ProofVerifier;
  /** No token without a binding counts, also none that was made before that was asked for. */
  readonly bindingRequired: boolean;
  /** True the first time that a proof is shown to any process of the deployment. */
  readonly firstShown: FirstShown;
  readonly nowMs: () => number;
  /** Further addresses, without the path below /execution, by which clients may know this server. */
  readonly publicBases: readonly string[];
}): Authenticator {
  const { verifier, proofs, publicBases } = options;

  const proofOf = (request: FastifyRequest, token: string | null, jkt: string | null): ProvenKey => {
    const proof = request.headers.dpop;
    if (typeof proof !== 'string') throw refused('no proof, or several');
    const path = request.raw.url?.split('?')[0] ?? '';
    const below = path.replace(/^\/execution/, '');
    const urls = [`${request.protocol}://${request.host}${path}`, ...publicBases.map((base) => base + below)];
    return proofs.verify({
      proof,
      method: request.method,
      urls,
      accessToken: token,
      jkt,
      nowMs: options.nowMs(),
    });
  };

  /** A proof that any process takes must be new to all of them. */
  const countOnce = async ({ shown }: ProvenKey): Promise<void> => {
    if (shown !== null && !(await options.firstShown(shown))) throw refused('proof: seen before');
  };

  return {
    identify: async (request, row, selfId) => {
      const parts = SCHEMES.exec(request.headers.authorization ?? '');
      const [scheme, token] = [parts?.[1]?.toLowerCase(), parts?.[2]];
      if (!scheme || !token) throw new AppError('TOKEN_MISSING', { public: 'Missing auth token' });
      const kind = peekUnverifiedKind(token);
      if (kind === null || kind === 'user') throw refused('typ');
      const claims = await verifier.verify(kind, token, options.nowMs());
      // A bound token is worth nothing without its key, and an unbound one proves nothing with a key.
      if ((scheme === 'dpop') !== (claims.cnf !== undefined)) throw refused('scheme and binding differ');
      if (options.bindingRequired && !claims.cnf) throw refused('not bound');
      const proven = claims.cnf ? proofOf(request, token, claims.cnf.jkt) : null;
      if (!Array.isArray(row.tokens) || !row.tokens.includes(kind)) throw wrongKind({ kind, sub: claims.sub }, row);
      const subject = asksForTry(kind, row) ? tryNamed(request) : claims.sub;
      if (row.self === 'path' && subject !== selfId) {
        throw new AppError('TI_NOT_SELF', {
          public: `Token subject does not match ${subjectOf(request)} ID`,
          internal: { refused: { kind, sub: claims.sub } satisfies Refused },
        });
      }
      if (proven) await countOnce(proven);
      return {
        kind,
        claims,
        subject,
        token,
        jkt: proven?.jkt ?? null,
        foreign: kind === 'workload' && isOfAirflowForm(token),
      };
    },
    proveKey: async (request) => {
      const proven = proofOf(request, null, null);
      await countOnce(proven);
      return proven;
    },
  };
}

/** What the route's own id names. */
function subjectOf(request: FastifyRequest): string {
  const url = request.routeOptions.url ?? '';
  if (url.includes(':connection_test_id')) return 'connection test';
  return url.includes(':callback_id') ? 'callback' : 'task instance';
}

/** A triggerer on a route of tries: it asks for one of those whose triggers it runs. */
export function asksForTry(kind: TokenKind, row: Pick<ExecutionPolicyRow, 'rights'>): boolean {
  return kind === 'trigger' && row.rights !== 'role' && row.rights !== 'claim';
}

/** Whether the triggerer runs its trigger is decided by its row, as everything is. */
function tryNamed(request: FastifyRequest): string {
  const named = request.headers[TRIGGER_TRY_HEADER];
  if (typeof named === 'string' && isUuid(named)) return named;
  throw refused('no task instance named');
}

function wrongKind(who: Refused & { readonly kind: TokenKind }, row: ExecutionPolicyRow): AppError {
  const opens = SHOWN_KINDS.filter((each) => Array.isArray(row.tokens) && row.tokens.includes(each as TokenKind));
  // Where a trigger may ask for the task that waits, the wire's own words name the task's kind alone.
  const allowed = opens.length > 1 ? opens.filter((each) => each !== 'trigger') : opens;
  return new AppError('TOKEN_SCOPE', {
    public: `Token type '${who.kind}' not allowed for this endpoint. Allowed types: ${allowed.join(', ')}`,
    internal: { refused: who },
  });
}

function refused(why: string): AppError {
  return new AppError('TOKEN_INVALID', { public: 'Invalid auth token', internal: { why } });
}
