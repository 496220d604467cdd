/** What must hold of task instances, tries, pools and limits at every instant, as the database sees it, and nobody else. */
import { deepEqual } from 'node:assert/strict';
import { openDatabase, raw, type Sql, sql } from '@airlock/store';

/** Every state that may follow another; any other change is a defect. `null` = waits for its upstreams. */
const MAY_FOLLOW: Readonly<Record<string, readonly string[]>> = {
  null: ['scheduled', 'success', 'failed', 'skipped', 'upstream_failed', 'removed'],
  scheduled: ['queued', 'skipped', 'failed', 'removed', 'null'],
  queued: ['running', 'scheduled', 'failed', 'up_for_retry', 'skipped', 'null'],
  running: ['success', 'failed', 'skipped', 'up_for_retry', 'up_for_reschedule', 'deferred', 'restarting'],
  deferred: ['scheduled', 'success', 'failed', 'skipped', 'up_for_retry', 'null'],
  up_for_retry: ['scheduled', 'success', 'failed', 'skipped', 'upstream_failed', 'removed', 'null'],
  up_for_reschedule: ['scheduled', 'success', 'failed', 'skipped', 'upstream_failed', 'removed', 'null'],
  restarting: ['null', 'skipped'],
  success: ['null'],
  failed: ['null'],
  skipped: ['null'],
  upstream_failed: ['null'],
  removed: ['null'],
};

type Move = {
  readonly what: string;
  readonly was: string | null;
  readonly is: string | null;
  readonly old_try: number;
  readonly new_try: number;
  readonly old_id: string;
  readonly new_id: string;
};

/**
 * A change is legal when its states may follow one another, and a try begins where it is scheduled and nowhere else.
 * @param byHand a person may give a task any final state
 */
function isLegal({ was, is, old_try: before, new_try: after, old_id, new_id }: Move, byHand: boolean): boolean {
  const set = byHand && (is === 'success' || is === 'failed' || is === 'skipped');
  if (was !== is && !set && !MAY_FOLLOW[String(was)]?.includes(String(is))) return false;
  const begins = (was === null || was === 'up_for_retry') && (is === 'scheduled' || is === 'success');
  if (after !== before && !(begins && after === before + 1)) return false;
  // The id is the try's: what runs under it, and what its tokens name. It changes when a try is over.
  const ends = is === 'up_for_retry' || is === 'restarting' || is === null;
  return old_id === new_id || ends;
}

export type Watch = AsyncDisposable & {
  /** @param byHand a person has set states since the last look. @throws AssertionError naming what is exceeded, or which change should never have been */
  readonly check: (byHand?: boolean) => Promise<void>;
  /** How many changes of state were looked at. */
  readonly moves: () => number;
};

/** What is more than it may be, one line for each. */
const excess = (parallelism: number): Sql => sql`
  WITH active AS (
    SELECT * FROM task_instance WHERE state IN ('queued', 'running', 'deferred')
  ), busy AS (SELECT * FROM active WHERE state <> 'deferred')
  SELECT format('pool %s: %s of %s slots', p.name, sum(a.pool_slots), p.slots) AS text FROM slot_pool p
    JOIN active a ON a.pool = p.name AND (a.state <> 'deferred' OR p.include_deferred)
    WHERE p.slots >= 0 GROUP BY p.id HAVING sum(a.pool_slots) > p.slots
  UNION ALL
  SELECT format('parallelism: %s', count(*)) FROM busy HAVING count(*) > ${raw(String(parallelism))}
  UNION ALL
  SELECT format('active tasks of %s %s: %s of %s', b.dag_id, b.run_id, count(*), d.max_active_tasks) FROM busy b
    JOIN dag d USING (dag_id) GROUP BY b.dag_id, b.run_id, d.max_active_tasks HAVING count(*) > d.max_active_tasks
  UNION ALL
  SELECT format('%s.%s in all runs: %s of %s', dag_id, task_id, count(*), min(max_active_per_dag)) FROM active
    GROUP BY dag_id, task_id HAVING count(*) > min(max_active_per_dag)
  UNION ALL
  SELECT format('%s.%s in %s: %s of %s', dag_id, task_id, run_id, count(*), min(max_active_per_run)) FROM active
    GROUP BY dag_id, task_id, run_id HAVING count(*) > min(max_active_per_run)
  UNION ALL
  SELECT format('runs of %s: %s of %s', r.dag_id, count(*), d.max_active_runs) FROM dag_run r JOIN dag d USING (dag_id)
    WHERE r.state = 'running' GROUP BY r.dag_id, d.max_active_runs HAVING count(*) > d.max_active_runs`;

/** What no two tries may share, one line for each. */
const shared: Sql = sql`
  SELECT format('%s names a live and an ended try', t.id) AS text FROM task_instance t JOIN task_instance_history h ON h.id = t.id
  UNION ALL
  SELECT format('%s.%s[%s] in %s has a later try behind it', t.dag_id, t.task_id, t.map_index, t.run_id)
    FROM task_instance t JOIN task_instance_history h USING (dag_run_id, task_id, map_index) WHERE h.try_number > t.try_number
  UNION ALL
  SELECT format('trigger %s resumes more than one task', trigger_id) FROM task_instance WHERE trigger_id IS NOT NULL
    GROUP BY trigger_id HAVING count(*) > 1`;

/**
 * Notes each change of a task instance, and what is exceeded whenever something is queued, by triggers: so nothing that is over
 * again at the next look stays unseen. @param parallelism what the schedulers were told
 */
export async function watchTransitions(ownerUrl: string, parallelism: number): Promise<Watch> {
  const owner = openDatabase({ url: ownerUrl, maxConnections: 1, applicationName: 'watch', onError: () => undefined });
  const statements = [
    sql`CREATE VIEW excess AS ${excess(parallelism)}`,
    sql`CREATE TABLE was_exceeded (text text)`,
    sql`CREATE TABLE moved (what text, was text, "is" text, old_try integer, new_try integer, old_id uuid, new_id uuid)`,
    sql`CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN
        INSERT INTO public.moved VALUES (NEW.run_id || ' ' || NEW.dag_id || '.' || NEW.task_id || '[' || NEW.map_index || ']',
          OLD.state, NEW.state, OLD.try_number, NEW.try_number, OLD.id, NEW.id);
        RETURN NULL;
      END $$`,
    sql`CREATE TRIGGER note_move AFTER UPDATE ON task_instance FOR EACH ROW
      WHEN (NEW.state IS DISTINCT FROM OLD.state OR NEW.try_number <> OLD.try_number OR NEW.id <> OLD.id) EXECUTE FUNCTION note_move()`,
    sql`CREATE FUNCTION note_excess() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN
        IF EXISTS (SELECT 1 FROM changed WHERE state = 'queued') THEN
          INSERT INTO public.was_exceeded SELECT text FROM public.excess;
        END IF;
        RETURN NULL;
      END $$`,
    sql`CREATE TRIGGER note_excess AFTER UPDATE ON task_instance REFERENCING NEW TABLE AS changed
      FOR EACH STATEMENT EXECUTE FUNCTION note_excess()`,
  ];
  for (const statement of statements) await owner.query(statement);
  let moves = 0;
  return {
    check: async (byHand = false) => {
      const over = await owner.query(sql`SELECT text FROM was_exceeded UNION ALL SELECT text FROM excess`);
      deepEqual(over, [], 'a limit is exceeded');
      deepEqual(await owner.query(shared), [], 'two tries share what names one');
      const seen = await owner.query<Move>(sql`WITH gone AS (DELETE FROM moved RETURNING *) SELECT * FROM gone`);
      moves += seen.length;
      deepEqual(
        seen.filter((move) => !isLegal(move, byHand)),
        [],
        'a change that must not be',
      );
    },
    moves: () => moves,
    [Symbol.asyncDispose]: () => owner.close(),
  };
}
