/** Variables and connections for a try: caller, right and value on one snapshot. */
import { type Db, type Sql, sql } from '../../database.ts';
import type { ConnectionRow } from '../connection/get.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import type { With } from '../task-instance/reads.ts';
import type { VariableRow } from '../variable/get.ts';
import { type CallerKey, type CallerRow, callerColumns } from './caller.ts';
import { mayReadNamed, mayWriteVariables, type RightsContext } from './rights.ts';
import { visibleConnection, visibleVariable } from './visible-named.ts';

/** One read: who asks for what. */
export type NamedRead = {
  readonly id: string;
  readonly jti: string;
  readonly name: string;
  readonly triggerer?: string | null | undefined;
};
type Seen<T> = With<T | null> | null;

/** Several reads as rows `q`, each beside its caller's row; a caller without a live row gives nulls. */
function callersOf(
  reads: readonly NamedRead[],
  kind: 'variables' | 'connections',
  nowIso: string,
  rights: RightsContext,
): Sql {
  return sql`k AS (
      SELECT q.n, q.name, ${callerColumns({ jti: sql`q.jti`, nowIso, triggerer: sql`q.triggerer` })}
      FROM unnest(${reads.map((read) => read.id)}::uuid[], ${reads.map((read) => read.jti)}::text[],
        ${reads.map((read) => read.name)}::text[], ${reads.map((read) => read.triggerer ?? null)}::uuid[])
        WITH ORDINALITY AS q (id, jti, name, triggerer, n)
      LEFT JOIN task_instance t ON t.id = q.id
    ), c AS MATERIALIZED (SELECT c.*, c.live AND ${mayReadNamed(rights, kind, sql`c.name`)} AS allowed FROM k c)`;
}

const inOrder = <T>(rows: Array<With<T | null> & { readonly id: string | null }>): Seen<T>[] =>
  rows.map((row) => (row.id === null ? null : row));

/**
 * The variables that callers see under these keys: their team's own, else the shared one. One statement for all reads that
 * arrived together; look-ups happen only where the right holds. Locks nothing.
 * @returns in the order of `reads`; null = there is no live row of that caller.
 */
export async function readVariablesFor(
  db: Db,
  reads: readonly NamedRead[],
  nowIso: string,
  rights: RightsContext,
): Promise<Seen<VariableRow>[]> {
  return inOrder(
    await db.query(
      sql`WITH ${callersOf(reads, 'variables', nowIso, rights)}
        SELECT c.*, CASE WHEN c.allowed THEN ${visibleVariable(sql`c.name`)} END AS data FROM c ORDER BY c.n`,
      'variables_for_tries',
    ),
  );
}

/** The same for connections. */
export async function readConnectionsFor(
  db: Db,
  reads: readonly NamedRead[],
  nowIso: string,
  rights: RightsContext,
): Promise<Seen<ConnectionRow>[]> {
  return inOrder(
    await db.query(
      sql`WITH ${callersOf(reads, 'connections', nowIso, rights)}
        SELECT c.*, CASE WHEN c.allowed THEN ${visibleConnection(sql`c.name`)} END AS data FROM c ORDER BY c.n`,
      'connections_for_tries',
    ),
  );
}

export type VariableWriteRow = CallerRow & { readonly allowed: boolean };

/**
 * Sets a variable of the caller's team. Locks: the caller's row, then the variable, then (insert) event_log.
 * @param value.val sealed already when `encrypted`. @returns null when there is no live row of the caller.
 */
export async function putVariableFor(
  db: Db,
  key: CallerKey,
  name: string,
  value: { readonly val: string; readonly encrypted: boolean; readonly description: string | null },
  rights: RightsContext,
): Promise<VariableWriteRow | null> {
  const rows = await db.query<VariableWriteRow>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      k AS (SELECT ${callerColumns(key)} FROM t),
      c AS (SELECT c.*, c.live AND ${mayWriteVariables(rights)} AS allowed FROM k c),
      w AS (
        INSERT INTO variable (team, key, val, description, is_encrypted)
        SELECT c.team, ${name}, ${value.val}, ${value.description}::text, ${value.encrypted}::boolean FROM c WHERE c.allowed
        ON CONFLICT (COALESCE(team, ''), key) DO UPDATE
        SET val = excluded.val, description = COALESCE(excluded.description, variable.description),
          is_encrypted = excluded.is_encrypted
      ), audit AS (
        ${auditOfTry(key.nowIso, 'put_variable', sql`json_build_object('key', ${name}::text)::text`)} WHERE c.allowed
      )
      SELECT c.* FROM c`,
    'variable_put_for_try',
  );
  return rows[0] ?? null;
}

/** Removes a variable of the caller's team; absent is fine. Locks as above. @returns null when the caller is gone. */
export async function deleteVariableFor(
  db: Db,
  key: CallerKey,
  name: string,
  rights: RightsContext,
): Promise<VariableWriteRow | null> {
  const rows = await db.query<VariableWriteRow>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      k AS (SELECT ${callerColumns(key)} FROM t),
      c AS (SELECT c.*, c.live AND ${mayWriteVariables(rights)} AS allowed FROM k c),
      gone AS (DELETE FROM variable v USING c WHERE c.allowed AND COALESCE(v.team, '') = COALESCE(c.team, '')
        AND v.key = ${name} RETURNING v.id),
      audit AS (
        ${auditOfTry(key.nowIso, 'delete_variable', sql`json_build_object('key', ${name}::text)::text`)} JOIN gone ON true
      )
      SELECT c.* FROM c`,
    'variable_delete_for_try',
  );
  return rows[0] ?? null;
}
