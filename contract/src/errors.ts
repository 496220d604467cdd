/**
 * Every expected failure has a stable code, one text for the caller and one record for the log.
 * Inner layers throw these and know no HTTP; the two API edges map codes to statuses by `ERRORS`.
 * docs/errors.md lists the same codes; a test compares them.
 */
export type ErrorParts = {
  /** What the caller reads. Never holds an internal. */
  readonly public: string;
  /** For the log only, never for the wire. */
  readonly internal?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  /** Replaces the remedy of the table when this case has a better one. */
  readonly remedy?: string;
  /** The wire's own `detail`, where Airflow's documents fix its shape; the edge sends it as it is. */
  readonly detail?: unknown;
};

export type ErrorRow = {
  readonly rest: number;
  readonly execution: number;
  /** What the reader does next, in one sentence. */
  readonly remedy: string;
};

/** Code → status on each API, and remedy. */
export const ERRORS = {
  TOKEN_MISSING: { rest: 401, execution: 401, remedy: 'Send a bearer token; get one from POST /auth/token.' },
  TOKEN_EXPIRED: { rest: 401, execution: 403, remedy: 'Get a new token.' },
  TOKEN_INVALID: { rest: 403, execution: 403, remedy: 'Get a new token.' },
  PROOF_NONCE: { rest: 401, execution: 401, remedy: 'Repeat the request with a new proof that names no nonce.' },
  TOKEN_SCOPE: { rest: 403, execution: 403, remedy: 'Use the token of this task instance and this stage.' },
  TI_NOT_SELF: { rest: 403, execution: 403, remedy: 'Use the token of this task instance.' },
  NOT_ENTITLED: { rest: 403, execution: 403, remedy: 'Declare the need in the Dag, or ask its owner for access.' },
  FORBIDDEN: { rest: 403, execution: 403, remedy: 'Ask an administrator for a role that allows this.' },
  NOT_FOUND: { rest: 404, execution: 404, remedy: 'Check the name.' },
  METHOD_NOT_ALLOWED: { rest: 405, execution: 405, remedy: 'Use a method that the Allow header names.' },
  NOT_ACCEPTABLE: { rest: 406, execution: 406, remedy: 'Send an Accept header that names a served type.' },
  BAD_REQUEST: { rest: 400, execution: 400, remedy: 'Correct the request.' },
  SEARCH_TOO_LONG: {
    rest: 400,
    execution: 400,
    remedy: 'Use a shorter pattern with fewer wildcards, or narrow the list by Dag, state or time.',
  },
  INVALID_CREDENTIALS: { rest: 401, execution: 401, remedy: 'Check user name and password.' },
  CONFLICT: { rest: 409, execution: 409, remedy: 'Read the current state, then decide again.' },
  TI_STATE_CONFLICT: { rest: 409, execution: 409, remedy: 'Stop this attempt.' },
  TI_TAKEN: { rest: 409, execution: 409, remedy: 'Stop this attempt.' },
  TI_GONE: { rest: 410, execution: 410, remedy: 'Stop this attempt.' },
  BODY_TOO_LARGE: { rest: 413, execution: 413, remedy: 'Send a smaller body.' },
  HEADERS_TOO_LARGE: { rest: 431, execution: 431, remedy: 'Send fewer or shorter headers.' },
  UNSUPPORTED_MEDIA_TYPE: { rest: 415, execution: 415, remedy: 'Send the content type that the route documents.' },
  VALIDATION: { rest: 422, execution: 422, remedy: 'Correct the field that the answer names.' },
  TOO_DEEP: { rest: 422, execution: 422, remedy: 'Send JSON that is nested less deeply.' },
  RATE_LIMITED: { rest: 429, execution: 429, remedy: 'Wait as long as Retry-After says, then repeat.' },
  REQUEST_TIMEOUT: { rest: 408, execution: 408, remedy: 'Send the request faster.' },
  INTERNAL: { rest: 500, execution: 500, remedy: 'Look up the id of the answer in the log of the server.' },
  DB_UNAVAILABLE: { rest: 503, execution: 503, remedy: 'Repeat with backoff; operators: see docs/runbook.md.' },
  PROVIDER_UNAVAILABLE: {
    rest: 503,
    execution: 503,
    remedy: 'Try again in a moment; operators: is [oidc] issuer reachable from the API server?',
  },
  KEY_UNAVAILABLE: { rest: 503, execution: 503, remedy: 'Repeat with backoff; operators: see docs/runbook.md.' },
  SECRETS_REFUSED: {
    rest: 403,
    execution: 403,
    remedy: 'Operators: let the [secrets] backend give this name to Airlock, or take it out of there.',
  },
  SECRETS_UNAVAILABLE: {
    rest: 503,
    execution: 503,
    remedy: 'Repeat with backoff; operators: is the [secrets] backend reachable and unsealed?',
  },
  // Start-up and operator errors: the process prints code, text and remedy and exits; no HTTP answer carries them.
  CONFIG_INVALID: { rest: 500, execution: 500, remedy: 'Correct the option that the message names.' },
  PORT_IN_USE: { rest: 500, execution: 500, remedy: 'Stop the other program, or set [api] port.' },
  HOME_UNWRITABLE: { rest: 500, execution: 500, remedy: 'Make the folder writable, or set AIRLOCK_HOME.' },
  HOME_IN_USE: { rest: 500, execution: 500, remedy: 'Stop the other standalone, or set another AIRLOCK_HOME.' },
  API_UNREACHABLE: {
    rest: 503,
    execution: 503,
    remedy: 'Start the API server, or correct [core] execution_api_server_url.',
  },
  DB_UNREACHABLE: { rest: 503, execution: 503, remedy: 'Start PostgreSQL, or correct [database] sql_alchemy_conn.' },
  DB_TOO_OLD: { rest: 500, execution: 500, remedy: 'Use PostgreSQL 14 or newer.' },
  DB_DIALECT: { rest: 500, execution: 500, remedy: 'Use a postgresql:// address.' },
  DB_FOREIGN: { rest: 500, execution: 500, remedy: 'Use an empty database; this one belongs to an Airflow.' },
  DB_SCHEMA: { rest: 500, execution: 500, remedy: 'Run: airlock db migrate.' },
  SANDBOX_TIER: {
    rest: 500,
    execution: 500,
    remedy: 'Use a host that offers the tier, or lower [sandbox] minimum_tier.',
  },
  PATH_NOT_ENTERABLE: {
    rest: 500,
    execution: 500,
    remedy: 'Move the folder, or allow other users to enter it (chmod o+x).',
  },
  PYTHON_UNAVAILABLE: {
    rest: 500,
    execution: 500,
    remedy: 'Install Airflow 3 in a virtual environment, and name it by [python] interpreter.',
  },
  BUNDLE_UNAVAILABLE: {
    rest: 500,
    execution: 500,
    remedy: 'Correct repo_url, tracking_ref or subdir of the bundle, or make the repository reachable without log-in.',
  },
  TIMETABLE_UNAVAILABLE: {
    rest: 503,
    execution: 503,
    remedy: 'Repeat it; operators: is a dag-processor running that has the bundle of the Dag?',
  },
  DAG_INVALID: { rest: 400, execution: 422, remedy: 'Correct the Dag file that the message names.' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** An expected failure. `code` is stable for ever; clients switch on it. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly internal: Readonly<Record<string, unknown>>;
  readonly detail: unknown;
  constructor(code: ErrorCode, parts: ErrorParts) {
    super(parts.public, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = 'AppError';
    this.code = code;
    this.remedy = parts.remedy ?? ERRORS[code].remedy;
    this.internal = parts.internal ?? {};
    this.detail = parts.detail;
  }
}

/** Narrowing test that also works across realms. */
export function isAppError(error: unknown, ...codes: readonly ErrorCode[]): error is AppError {
  return error instanceof AppError && (codes.length === 0 || codes.includes(error.code));
}
