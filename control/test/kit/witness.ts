/**
 * Watches a test database for changes that have no audit row: triggers on every table note which transaction changed what, and
 * a transaction that wrote no row into the audit log is reported. It can also block the log, as a full disk would. @see promise L33
 */
import { openDatabase, raw, sql } from '@airlock/store';
import type { TestDatabase } from '../../../tests/kit/database.ts';

export type Witness = {
  /**
   * What was changed since the last look: `table` or `table(columns)`, each once, sorted. `missing` is what was changed by
   * transactions that wrote no audit row.
   */
  readonly look: () => Promise<{ readonly changes: string[]; readonly missing: string[] }>;
  /** Forgets what was seen. */
  readonly clear: () => Promise<void>;
  /** Runs `work` while no audit row can be written. */
  readonly whileBlocked: <T>(work: () => Promise<T>) => Promise<T>;
  readonly close: () => Promise<void>;
};

/**
 * What is changed without a row, as promise L33 says: that somebody is alive, which tokens and proofs were used, what a task
 * shows of itself, and counts. Tables whole, or columns of a table.
 */
const EXEMPT: Readonly<Record<string, readonly string[] | 'all'>> = {
  job: 'all',
  proof_seen: 'all',
  login_attempt: 'all',
  observed_use: 'all',
  dag_file: 'all',
  dag_module: 'all',
  supervisor: ['last_seen_at', 'queues', 'has_claimed'],
  user_session: ['seen_at', 'expires_at'],
  task_instance: [
    'last_heartbeat_at',
    'updated_at',
    'execution_jti',
    'execution_confirmed',
    'execution_jti_next',
    'execution_next_at',
    'execution_jti_prev',
    'execution_overlap_until',
    'rendered_fields',
    'rendered_map_index',
    'log_bytes',
  ],
};

function isExempt(change: string): boolean {
  const [, table, columns] = /^(\w+)(?:\((.*)\))?$/.exec(change)!;
  const free = EXEMPT[table!];
  if (free === undefined || free === 'all') return free === 'all';
  return columns?.split(',').every((column) => free.includes(column)) ?? false;
}

export async function watchAudit(database: TestDatabase): Promise<Witness> {
  const owner = openDatabase({
    url: database.ownerUrl,
    maxConnections: 1,
    applicationName: 'witness',
    onError: () => undefined,
  });
  await owner.query(sql`CREATE TABLE witness (tx xid8 NOT NULL, what text NOT NULL)`);
  await owner.query(sql`CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE columns text;
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        SELECT string_agg(n.key, ',' ORDER BY n.key) INTO columns FROM json_each_text(row_to_json(NEW)) n
          JOIN json_each_text(row_to_json(OLD)) o USING (key) WHERE n.value IS DISTINCT FROM o.value;
        IF columns IS NULL THEN RETURN NULL; END IF;
        INSERT INTO public.witness VALUES (pg_current_xact_id(), TG_TABLE_NAME || '(' || columns || ')');
      ELSE
        INSERT INTO public.witness VALUES (pg_current_xact_id(), TG_TABLE_NAME);
      END IF;
      RETURN NULL;
    END $$`);
  const tables = await owner.query<{ name: string }>(sql`SELECT relname AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT IN ('witness', 'event_chain')`);
  for (const { name } of tables) {
    await owner.query(sql`CREATE TRIGGER witness AFTER ${raw(name === 'event_log' ? 'INSERT' : 'INSERT OR UPDATE OR DELETE')}
      ON ${raw(name)} FOR EACH ROW EXECUTE FUNCTION witness()`);
  }
  await owner.query(sql`CREATE FUNCTION blocked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit log takes no rows'; END $$`);
  await owner.query(sql`CREATE TRIGGER blocked BEFORE INSERT ON event_log FOR EACH ROW EXECUTE FUNCTION blocked()`);
  const block = (on: boolean) =>
    owner.query(sql`ALTER TABLE event_log ${raw(on ? 'ENABLE' : 'DISABLE')} TRIGGER blocked`);
  await block(false);

  return {
    look: async () => {
      const rows = await owner.query<{ tx: string; what: string }>(sql`WITH gone AS (DELETE FROM witness RETURNING *)
        SELECT DISTINCT tx::text AS tx, what FROM gone ORDER BY what`);
      const audited = new Set(rows.filter(({ what }) => what === 'event_log').map(({ tx }) => tx));
      const changes = rows.filter(({ what }) => what !== 'event_log' && !isExempt(what));
      const named = (of: typeof rows) => [...new Set(of.map(({ what }) => what))];
      return { changes: named(changes), missing: named(changes.filter(({ tx }) => !audited.has(tx))) };
    },
    clear: async () => void (await owner.query(sql`DELETE FROM witness`)),
    whileBlocked: async (work) => {
      await block(true);
      try {
        return await work();
      } finally {
        await block(false);
      }
    },
    close: () => owner.close(),
  };
}
