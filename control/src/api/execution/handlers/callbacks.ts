/**
 * Callbacks that the server has started, as the worker that runs one reaches it. The subject of both tokens is the callback:
 * it reads what its Dag declares and what its run has left (xcoms.ts), and writes nothing but its own end. @see contract/src/callbacks.ts
 */

import { type CallbackOrder, callbackReport, callbackTarget } from '@airlock/contract/callbacks';
import { CALLBACK_REPORT_SECONDS, MAX_CALLBACK_SECONDS } from '@airlock/contract/config/callbacks';
import type { DagRunContext } from '@airlock/contract/execution/run-context';
import type { TokenAlarm } from '@airlock/contract/token-alarms';
import type { SecretSource } from '@airlock/secret-backends';
import {
  type CallbackRead,
  readCallbackConnection,
  readCallbackVariable,
  reportCallback,
  type StartedCallback,
  startCallback,
} from '@airlock/store/queries/callback/by-worker';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { nowIso, wireInstant } from '../../http/instant.ts';
import { parseBody } from '../../http/validation.ts';
import { lookUp } from '../../secrets/sources.ts';
import { openConnection, openVariable } from '../../secrets/stored.ts';
import type { Answer, Call, ExecutionContext, Handler } from '../context.ts';
import { invalidState, notEntitled, notFound, notLiveCallback } from '../errors.ts';
import { mayReadNamed } from '../rights.ts';
import { dagRunContext } from '../run-context.ts';
import { callerKey, mintExecution, newJti } from '../token-life.ts';

/** How long the same process may ask again, in case the answer was lost. */
const REPEATABLE_MS = 60_000;

export const start: Handler = async (context, call) => {
  const wanted = context.deps.config.callbacks.callback_execution_timeout || MAX_CALLBACK_SECONDS;
  const timeoutSeconds = Math.max(1, Math.min(wanted, context.executionTtlSeconds - CALLBACK_REPORT_SECONDS));
  const row = await startCallback(context.db, {
    ...callerKey(call),
    processKey: call.identity.jkt,
    repeatableSinceIso: nowIso(call.nowMs - REPEATABLE_MS),
    executionJti: newJti(),
    timeoutSeconds: timeoutSeconds + CALLBACK_REPORT_SECONDS,
  });
  if (!row) throw notFound('Callback not found');
  if (row.outcome === null) return await refuse(context, call, row);
  const token = await mintExecution(context, {
    sub: call.identity.claims.sub,
    jti: row.execution_jti!,
    issuedAt: row.exchanged_at!,
    deadlineAt: row.deadline_at,
    jkt: call.identity.jkt,
  });
  const leftSeconds = (Date.parse(row.deadline_at!) - call.nowMs) / 1000;
  const seconds = Math.max(0, leftSeconds - CALLBACK_REPORT_SECONDS);
  return { status: 200, body: orderOf(context, row, seconds), refreshed: token };
};

function orderOf(context: ExecutionContext, row: StartedCallback, timeoutSeconds: number): CallbackOrder {
  const run: DagRunContext = dagRunContext(row.run, { team_name: context.rights.multiTeam ? row.team : null });
  const { ti } = row;
  return {
    kind: row.kind,
    event: row.event,
    reason: row.reason,
    timeout_seconds: timeoutSeconds,
    dag_run: run,
    ti: ti && { ...ti, start_date: wireInstant(ti.start_date), end_date: wireInstant(ti.end_date) },
    target: row.target === null ? null : callbackTarget.parse(row.target),
    module:
      row.module_hash === null || row.module_code === null ? null : { hash: row.module_hash, code: row.module_code },
  };
}

/** Every refused exchange is written down: it may be a stolen workload token. */
async function refuse(context: ExecutionContext, call: Call, row: StartedCallback): Promise<Answer> {
  const { kind, claims } = call.identity;
  await insertEventLog(context.db, {
    nowIso: call.nowIso,
    event: 'run_refused' satisfies TokenAlarm,
    owner: 'task',
    dagId: row.dag_id,
    runId: row.run.run_id,
    extra: JSON.stringify({ callback: claims.sub, state: row.state, token: kind, jti: claims.jti }),
  });
  throw invalidState('Callback was not in a state where it could be started', row.state);
}

/** What an outside source of secrets has to be asked for. */
type Outside<O> = (source: SecretSource, team: string | null) => Promise<O | null>;

/**
 * A value that the callback may read: of an outside source, else our own row.
 * @throws TOKEN_INVALID it has ended, or never began · NOT_ENTITLED the same whether or not the name exists · NOT_FOUND
 */
async function readNamed<T, O>(
  context: ExecutionContext,
  kind: 'variables' | 'connections',
  name: string,
  of: { readonly read: () => Promise<CallbackRead<T> | null>; readonly outside: Outside<O>; readonly shown: string },
): Promise<{ readonly outside: O } | { readonly row: T }> {
  const { secretSources: sources } = context.deps;
  const live = async () => {
    const row = await of.read();
    if (row?.live) return row;
    throw notLiveCallback();
  };
  const caller = await live();
  if (!caller.allowed || !mayReadNamed(context.rights, caller, kind, name)) throw notEntitled(of.shown);
  const outside = await lookUp(sources, (source) => of.outside(source, caller.team));
  // Asking may have taken seconds, and the callback may have ended meanwhile.
  const { data } = sources.list.length > 0 ? await live() : caller;
  if (outside !== null) return { outside };
  if (data === null) throw notFound(`${of.shown[0]!.toUpperCase()}${of.shown.slice(1)} not found`);
  return { row: data };
}

export const readVariable: Handler = async (context, call) => {
  const key = call.params['*'] ?? '';
  const found = await readNamed(context, 'variables', key, {
    read: () => readCallbackVariable(context.db, callerKey(call), key, context.rights),
    outside: (source, team) => source.variable(key, team),
    shown: `variable ${key}`,
  });
  const value = 'outside' in found ? found.outside : openVariable(context.box, found.row).val;
  return { status: 200, refreshed: null, body: { key, value } };
};

export const readConnection: Handler = async (context, call) => {
  const id = call.params.conn_id ?? '';
  const found = await readNamed(context, 'connections', id, {
    read: () => readCallbackConnection(context.db, callerKey(call), id, context.rights),
    outside: (source, team) => source.connection(id, team),
    shown: `connection ${id}`,
  });
  const opened = 'outside' in found ? found.outside : openConnection(context.box, found.row);
  const { conn_type, host, login, password, schema, port, extra } = opened;
  return {
    status: 200,
    refreshed: null,
    body: { conn_id: id, conn_type, host, schema, login, password, port, extra },
  };
};

/** Takes the end; the same again is a success without effect. */
export const report: Handler = async (context, call) => {
  const body = parseBody(callbackReport, call.request);
  const row = await reportCallback(context.db, { ...callerKey(call), ...body });
  if (!row) throw notFound('Callback not found');
  if (row.reported) return { status: 204, refreshed: null };
  if (row.state === body.state) return { status: 200, refreshed: null };
  if (row.state === 'running') throw notLiveCallback('another token of this callback, or past its deadline');
  throw invalidState('Callback was not running so it cannot be updated', row.state);
};
