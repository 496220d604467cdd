import type { Database } from '@airlock/store';
import type { ConnectionRow } from '@airlock/store/queries/connection/get';
import type { With } from '@airlock/store/queries/task-instance/reads';
import type { NamedRead } from '@airlock/store/queries/token/named';
import type { RightsContext } from '@airlock/store/queries/token/rights';
import type { VariableRow } from '@airlock/store/queries/variable/get';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ControlDeps } from '../../deps.ts';
import type { LogStore } from '../../logs/log-store.ts';
import type { SecretBox } from '../secrets/index.ts';
import type { Identity } from './authenticate.ts';
import type { Batcher } from './batcher.ts';
import type { HeartbeatBatcher } from './heartbeats.ts';
import type { AnswerShape } from './migrations.ts';
import type { ServedQueues } from './served-queues.ts';
import type { UseRecorder } from './uses.ts';
import type { ApiVersion } from './version.ts';

/** What the handlers share; built once. */
export type ExecutionContext = {
  readonly deps: ControlDeps;
  readonly db: Database;
  readonly box: SecretBox;
  readonly logs: LogStore;
  readonly rights: RightsContext;
  readonly heartbeats: HeartbeatBatcher;
  readonly servedQueues: ServedQueues;
  readonly variables: Batcher<NamedRead, With<VariableRow | null> | null>;
  readonly connections: Batcher<NamedRead, With<ConnectionRow | null> | null>;
  /** What tasks use that no need binds. */
  readonly uses: UseRecorder;
  /** Lifetime of an execution token, seconds. */
  readonly executionTtlSeconds: number;
  /** Ends long polls when the server closes. */
  readonly closing: AbortSignal;
};

/** One request whose caller is proven. */
export type Call = {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly identity: Identity;
  /** Path parameters, decoded; `*` is the rest of the path. */
  readonly params: Readonly<Record<string, string>>;
  /** The one instant of this request. */
  readonly nowMs: number;
  readonly nowIso: string;
  readonly version: ApiVersion;
};

/** What a handler gives back; the route sends it, and renews the caller's token where that is due. */
export type Answer = {
  readonly status: number;
  /** A JSON value, or, as `text`, a body that is sent as it is. Neither = empty body. */
  readonly body?: unknown;
  /** Which of the answers that differ between versions `body` is; it is always given in the newest form. */
  readonly shape?: AnswerShape;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How many rows a list has, which cost more points. */
  readonly rows?: number;
  /** The token to renew into `Refreshed-API-Token`; absent = the route decides by the caller's row. */
  readonly refreshed?: string | null;
};

export type Handler = (context: ExecutionContext, call: Call) => Promise<Answer>;
