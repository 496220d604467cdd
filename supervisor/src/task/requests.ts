/**
 * What a running task may ask for, turned into calls with the token that it never sees. The task names things; path, run and
 * task instance are ours. Whether it is entitled to a name is decided by the server alone.
 */
import type { Answer, RunnerRequest } from '@airlock/contract/ipc/runner';
import type { CallOptions, ExecutionAnswer, ExecutionClient, TokenHolder } from '../client/index.ts';
import type { Masker } from './mask.ts';
import { part, selfPath, type TaskInstance, type XComPlace, xcomPath, xcomSlicePath } from './paths.ts';

/** Requests of one task that are under way at once, and that wait. More is no honest program. */
const MAX_CONCURRENT = 16;
const MAX_WAITING = 10_000;

export type RequestServer = {
  /** Answers by `respond` when the server has. @throws RangeError when the task floods */
  serve(request: RunnerRequest): void;
};

export type RequestOptions = {
  readonly client: ExecutionClient;
  readonly token: TokenHolder;
  /** What may be asked, and by which call; null = nothing that this process has business with. */
  readonly callFor: CallFor;
  readonly masker: Masker;
  readonly signal: AbortSignal;
  readonly respond: (answer: Answer) => void;
  /** Connections that were read before the task began. */
  readonly connections: ReadonlyMap<string, ExecutionAnswer>;
};

type Call = Omit<CallOptions, 'token' | 'signal'> & { readonly value: (answer: ExecutionAnswer) => unknown };

const none = () => null;

export type CallFor = (request: RunnerRequest, masker: Masker) => Call | null;

/** Variables and connections, below a path: the same for tasks and for callbacks. */
function namedCall(request: RunnerRequest, base: string, masker: Masker): Call | null {
  switch (request.type) {
    case 'get_variable':
      return {
        method: 'GET',
        path: `${base}/variables/${part(request.key)}`,
        value: (answer) => {
          const { value } = answer.json<{ value: unknown }>();
          masker.addVariable(request.key, value);
          return value;
        },
      };
    case 'get_connection':
      return {
        method: 'GET',
        path: `${base}/connections/${part(request.conn_id)}`,
        value: (answer) => {
          const connection = answer.json<Record<string, unknown>>();
          masker.addConnection(connection);
          return connection;
        },
      };
    default:
      return null;
  }
}

/** What tasks of the run have left: the same for tasks and for callbacks. */
function resultCall(request: RunnerRequest, of: XComPlace): Call | null {
  switch (request.type) {
    case 'get_xcom':
      return {
        method: 'GET',
        path: xcomPath(of, request.task_id, request.key, { map_index: request.map_index }),
        value: (answer) => answer.json<{ value: unknown }>().value,
      };
    case 'get_xcom_slice':
      return {
        method: 'GET',
        path: xcomSlicePath(of, request.task_id, request.key),
        value: (answer) => answer.json<unknown[]>(),
      };
    default:
      return null;
  }
}

/** What a callback may ask for: what its Dag declares, and results of its run. */
export const callbackCalls =
  (id: string, run: Pick<XComPlace, 'dag_id' | 'run_id'>): CallFor =>
  (request, masker) => {
    const below = `/callbacks/${id}`;
    return namedCall(request, below, masker) ?? resultCall(request, { ...run, below });
  };

export const taskCalls =
  (ti: TaskInstance): CallFor =>
  (request, masker) =>
    namedCall(request, '', masker) ?? resultCall(request, ti) ?? ownCall(request, ti, masker);

function ownCall(request: RunnerRequest, ti: TaskInstance, masker: Masker): Call | null {
  switch (request.type) {
    case 'set_xcom':
      return {
        method: 'POST',
        path: xcomPath(ti, ti.task_id, request.key, { map_index: ti.map_index }),
        json: request.value ?? null,
        value: none,
      };
    case 'set_rendered_fields':
      return { method: 'PUT', path: selfPath(ti, 'rtif'), json: masker.maskTexts(request.fields), value: none };
    case 'skip_downstream':
      return { method: 'PATCH', path: selfPath(ti, 'skip-downstream'), json: { tasks: request.tasks }, value: none };
    default:
      return null;
  }
}

/** Status → code, where the server's own header names none. */
function codeOf(answer: ExecutionAnswer): string {
  const named = answer.headers['airlock-error'];
  if (typeof named === 'string') return named;
  if (answer.status === 404) return 'NOT_FOUND';
  return answer.status === 403 ? 'NOT_ENTITLED' : 'BAD_REQUEST';
}

function messageOf(answer: ExecutionAnswer): string {
  try {
    const { detail } = answer.json<{ detail?: unknown }>();
    const message = typeof detail === 'object' && detail !== null ? (detail as { message?: unknown }).message : detail;
    return typeof message === 'string' ? message : JSON.stringify(detail);
  } catch {
    return `the server answered ${answer.status}`;
  }
}

/** The answer to a request as the task reads it: a value, or the server's refusal. */
function toAnswer(id: number, answer: ExecutionAnswer, value: Call['value']): Answer {
  if (answer.status < 300) return { type: 'answer', id, value: value(answer) ?? null };
  const remedy = answer.headers['airlock-remedy'];
  return {
    type: 'answer',
    id,
    error: {
      status: answer.status,
      code: codeOf(answer),
      message: messageOf(answer),
      ...(typeof remedy === 'string' ? { remedy } : {}),
    },
  };
}

export function createRequestServer(options: RequestOptions): RequestServer {
  const { client, token, callFor, masker, signal, respond, connections } = options;
  const waiting: RunnerRequest[] = [];
  let running = 0;

  const one = async (request: RunnerRequest): Promise<Answer> => {
    const wanted = callFor(request, masker);
    if (wanted === null) {
      const message = 'This process can not ask for that.';
      return { type: 'answer', id: request.id, error: { status: 403, code: 'NOT_ENTITLED', message } };
    }
    const { value, ...call } = wanted;
    const known = request.type === 'get_connection' ? connections.get(request.conn_id) : undefined;
    try {
      return toAnswer(request.id, known ?? (await client.call({ ...call, token, signal })), value);
    } catch {
      const message = 'The server could not be reached.';
      return { type: 'answer', id: request.id, error: { status: null, code: 'API_UNREACHABLE', message } };
    }
  };
  const next = () => {
    while (running < MAX_CONCURRENT && waiting.length > 0 && !signal.aborted) {
      running++;
      void one(waiting.shift()!).then((answer) => {
        running--;
        if (!signal.aborted) respond(answer);
        next();
      });
    }
  };
  return {
    serve(request) {
      if (waiting.length >= MAX_WAITING) throw new RangeError(`more than ${MAX_WAITING} requests wait for an answer`);
      waiting.push(request);
      next();
    },
  };
}
