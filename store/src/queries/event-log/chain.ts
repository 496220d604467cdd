/** The chain of the audit log: linking rows, reading them for a check, and removing its beginning. @see contract/audit-chain */
import type { ChainEnds, ChainedEvent, LinkedEvent } from '@airlock/contract/audit-chain';
import { type Db, type Sql, sql } from '../../database.ts';

const instant = (column: Sql): Sql => sql`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const COLUMNS = sql`l.id, ${instant(sql`l.at`)} AS at, l.event, l.owner, l.team, l.dag_id, l.task_id, l.run_id, l.map_index,
  l.try_number, ${instant(sql`l.logical_date`)} AS logical_date, l.extra`;
const ENDS = sql`base_seq, encode(base_hash, 'hex') AS base_hash, head_seq, encode(head_hash, 'hex') AS head_hash`;

/** Rows without a place, oldest first. By an index that holds only these. Locks nothing. */
export async function unlinkedEvents(db: Db, limit: number): Promise<ChainedEvent[]> {
  return db.query<ChainedEvent>(
    sql`SELECT ${COLUMNS} FROM event_log l WHERE l.seq IS NULL ORDER BY l.id LIMIT ${limit}`,
    'event_chain_unlinked',
  );
}

/** The chain's ends, locked until the transaction ends. Null when another process links at this moment. */
export async function lockChain(tx: Db): Promise<ChainEnds | null> {
  const rows = await tx.query<ChainEnds>(
    sql`SELECT ${ENDS} FROM event_chain FOR NO KEY UPDATE SKIP LOCKED`,
    'event_chain_lock',
  );
  return rows[0] ?? null;
}

/** Gives rows their places. Run under the lock of `lockChain`. Locks: the rows. */
export async function linkEvents(
  tx: Db,
  links: ReadonlyArray<{ readonly id: number; readonly seq: number; readonly hash: string }>,
): Promise<void> {
  const last = links.at(-1)!;
  await tx.query(
    sql`UPDATE event_log l SET seq = x.seq, hash = decode(x.hash, 'hex')
      FROM json_to_recordset(${JSON.stringify(links)}::json) AS x (id bigint, seq bigint, hash text) WHERE l.id = x.id`,
    'event_chain_link',
  );
  await tx.query(
    sql`UPDATE event_chain SET head_seq = ${last.seq}, head_hash = decode(${last.hash}, 'hex')`,
    'event_chain_head',
  );
}

/** The chain's ends and its rows after `after`, by place, up to its head of this moment. One statement. Locks nothing. */
export async function readChain(
  db: Db,
  options: { readonly after: number; readonly limit: number },
): Promise<{ readonly ends: ChainEnds; readonly rows: LinkedEvent[] }> {
  const rows = await db.query<ChainEnds & LinkedEvent & { readonly id: number | null }>(
    sql`SELECT c.*, r.* FROM (SELECT ${ENDS} FROM event_chain) c LEFT JOIN LATERAL (
        SELECT ${COLUMNS}, l.seq, encode(l.hash, 'hex') AS hash FROM event_log l
        WHERE l.seq > GREATEST(${options.after}::bigint, c.base_seq) AND l.seq <= c.head_seq ORDER BY l.seq LIMIT ${options.limit}
      ) r ON true ORDER BY r.seq`,
    'event_chain_read',
  );
  const { base_seq, base_hash, head_seq, head_hash } = rows[0]!;
  const linked = rows.filter((row) => row.id !== null);
  return {
    ends: { base_seq, base_hash, head_seq, head_hash },
    rows: linked.map(({ base_seq: _, base_hash: __, head_seq: ___, head_hash: ____, ...row }) => row),
  };
}
