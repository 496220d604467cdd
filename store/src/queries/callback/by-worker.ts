/** Callbacks, as the worker that was given one reaches it. */
import { type Db, type Sql, sql } from '../../database.ts';
import type { ConnectionRow } from '../connection/get.ts';
import { RUN_FACTS, type RunFacts } from '../dag-run/facts.ts';
import { mayReadNamed, type RightsContext } from '../token/rights.ts';
import { visibleConnection, visibleVariable } from '../token/visible-named.ts';
import type { VariableRow } from '../variable/get.ts';
import type { CallbackEvent, CallbackKind, CallbackTi } from './insert.ts';

/** Whose token asks: `sub` and `jti` of the verified token. */
export type CallbackKey = { readonly id: string; readonly jti: string; readonly nowIso: string };

export type StartCallback = CallbackKey & {
  /** Names the asking process; null = it can't be told from another, and may not repeat. */
  readonly processKey: string | null;
  readonly repeatableSinceIso: string;
  readonly executionJti: string;
  readonly timeoutSeconds: number;
};

export type StartedCallback = {
  /** `start`: bought now; `repeat`: the same process asks again; null = refused. */
  readonly outcome: 'start' | 'repeat' | null;
  readonly state: string;
  readonly execution_jti: string | null;
  readonly exchanged_at: string | null;
  readonly deadline_at: string | null;
  readonly kind: CallbackKind;
  readonly event: CallbackEvent;
  readonly dag_id: string;
  readonly team: string | null;
  readonly reason: string | null;
  readonly ti: CallbackTi | null;
  readonly target: unknown;
  readonly run: RunFacts;
  readonly module_hash: string | null;
  readonly module_code: string | null;
};

/**
 * Starts a claimed callback and buys its one execution token, or recognises a repeat. Locks: the callback, then (insert) event_log.
 * @returns null when there is no such callback
 */
export async function startCallback(db: Db, o: StartCallback): Promise<StartedCallback | null> {
  const rows = await db.query<StartedCallback>(
    sql`WITH c AS (
        SELECT x.*, CASE WHEN x.workload_jti IS DISTINCT FROM ${o.jti} THEN NULL
          WHEN x.state = 'claimed' THEN 'start'
          WHEN x.state = 'running' AND x.exchange_key = ${o.processKey}::text
            AND x.exchanged_at > ${o.repeatableSinceIso}::timestamptz THEN 'repeat' END AS outcome
        FROM callback x WHERE x.id = ${o.id} FOR NO KEY UPDATE
      ), u AS (
        UPDATE callback x SET state = 'running', exchanged_at = ${o.nowIso}::timestamptz,
          exchange_key = ${o.processKey}::text, execution_jti = ${o.executionJti},
          deadline_at = ${o.nowIso}::timestamptz + make_interval(secs => ${o.timeoutSeconds}::double precision)
        FROM c WHERE x.id = c.id AND c.outcome = 'start'
        RETURNING x.id, x.execution_jti, x.exchanged_at, x.deadline_at
      ), audit AS (
        INSERT INTO event_log (at, event, owner, dag_id, run_id, extra)
        SELECT ${o.nowIso}::timestamptz, 'callback ' || CASE c.outcome WHEN 'start' THEN 'running' ELSE 'repeated' END, 'task',
          c.dag_id, r.run_id, json_build_object('callback', c.id, 'kind', c.kind, 'event', c.event)::text
        FROM c JOIN dag_run r ON r.id = c.dag_run_id WHERE c.outcome IS NOT NULL
      )
      SELECT c.outcome, c.state, COALESCE(u.execution_jti, c.execution_jti) AS execution_jti,
        COALESCE(u.exchanged_at, c.exchanged_at) AS exchanged_at, COALESCE(u.deadline_at, c.deadline_at) AS deadline_at,
        c.kind, c.event, c.dag_id, c.team, c.reason, c.ti, c.target, ${RUN_FACTS} AS run, v.module_hash,
        CASE WHEN c.outcome IS NOT NULL THEN m.code END AS module_code
      FROM c JOIN dag_run r ON r.id = c.dag_run_id JOIN dag_version v ON v.id = c.dag_version_id
      LEFT JOIN dag_module m ON m.hash = v.module_hash LEFT JOIN u ON true`,
    'callback_start',
  );
  return rows[0] ?? null;
}

/** True where the callback runs and `jti` is its token. */
const live = ({ jti, nowIso }: CallbackKey): Sql =>
  sql`COALESCE(x.state = 'running' AND x.execution_jti = ${jti} AND x.deadline_at > ${nowIso}::timestamptz, false)`;

export type CallbackRow = {
  readonly live: boolean;
  readonly state: string;
  readonly dag_id: string;
  readonly run_id: string;
  /** Of a callback of a task: that task; null for the others. */
  readonly task_id: string | null;
  readonly team: string | null;
  readonly needs: string | null;
};
export type CallbackRead<T> = CallbackRow & { readonly allowed: boolean; readonly data: T | null };

/**
 * The callback's row as `c`, with `value` beside it, which is evaluated only for a live token whose right (`allowed`) holds.
 * Locks nothing. @param data.name of the question; the statement has a name of its own
 * @returns null when there is no such callback
 */
export async function readForCallback<T>(
  db: Db,
  key: CallbackKey,
  data: { readonly name: string; readonly value: Sql; readonly allowed: Sql },
): Promise<CallbackRead<T> | null> {
  const rows = await db.query<CallbackRead<T>>(
    sql`WITH k AS (SELECT ${live(key)} AS live, x.state, x.dag_id, r.run_id,
        CASE WHEN x.kind = 'task' THEN x.ti ->> 'task_id' END AS task_id, x.team, x.needs
        FROM callback x JOIN dag_run r ON r.id = x.dag_run_id WHERE x.id = ${key.id}),
      c AS MATERIALIZED (SELECT c.*, c.live AND ${data.allowed} AS allowed FROM k c)
      SELECT c.*, CASE WHEN c.allowed THEN ${data.value} END AS data FROM c`,
    `callback_${data.name}`,
  );
  return rows[0] ?? null;
}

/** The variable that a callback sees under this key: its team's own, else the shared one. */
export async function readCallbackVariable(
  db: Db,
  key: CallbackKey,
  name: string,
  rights: RightsContext,
): Promise<CallbackRead<VariableRow> | null> {
  return await readForCallback(db, key, {
    name: 'variable',
    allowed: mayReadNamed(rights, 'variables', name),
    value: visibleVariable(sql`${name}`),
  });
}

/** The same for a connection. */
export async function readCallbackConnection(
  db: Db,
  key: CallbackKey,
  name: string,
  rights: RightsContext,
): Promise<CallbackRead<ConnectionRow> | null> {
  return await readForCallback(db, key, {
    name: 'connection',
    allowed: mayReadNamed(rights, 'connections', name),
    value: visibleConnection(sql`${name}`),
  });
}

export type ReportedCallback = { readonly live: boolean; readonly reported: boolean; readonly state: string };

/**
 * Ends a running callback; its token is dead from then on. Locks: the callback, then (insert) event_log.
 * @returns null when there is no such callback
 */
export async function reportCallback(
  db: Db,
  o: CallbackKey & { readonly state: 'success' | 'failed'; readonly message: string | null; readonly output: string },
): Promise<ReportedCallback | null> {
  const rows = await db.query<ReportedCallback>(
    sql`WITH c AS (SELECT x.*, ${live(o)} AS live, r.run_id FROM callback x JOIN dag_run r ON r.id = x.dag_run_id
        WHERE x.id = ${o.id} FOR NO KEY UPDATE OF x),
      u AS (UPDATE callback x SET state = ${o.state}, message = ${o.message}::text, output = ${o.output},
          ended_at = ${o.nowIso}::timestamptz
        FROM c WHERE x.id = c.id AND c.live RETURNING x.id),
      audit AS (INSERT INTO event_log (at, event, owner, dag_id, run_id, task_id, map_index, try_number, extra)
        SELECT ${o.nowIso}::timestamptz, 'callback ' || ${o.state}, 'task', c.dag_id, c.run_id, c.ti ->> 'task_id',
          (c.ti ->> 'map_index')::integer, (c.ti ->> 'try_number')::integer,
          json_build_object('callback', c.id, 'kind', c.kind, 'event', c.event, 'message', ${o.message}::text)::text
        FROM c JOIN u ON true)
      SELECT c.live, EXISTS (SELECT 1 FROM u) AS reported, c.state FROM c`,
    'callback_report',
  );
  return rows[0] ?? null;
}
