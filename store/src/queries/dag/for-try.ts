import { type Db, sql } from '../../database.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import type { CallerKey } from '../token/caller.ts';
import { mayReadDag, type RightsContext } from '../token/rights.ts';

export type DagFacts = {
  readonly dag_id: string;
  readonly is_paused: boolean;
  readonly bundle_name: string;
  readonly bundle_version: string | null;
  readonly relative_fileloc: string;
  readonly owners: string;
  readonly tags: string[];
  readonly next_dagrun: string | null;
};

/** One Dag, as a try may ask for it; stale ones too; null = there is none. Locks nothing. @see execution API 3.10 */
export async function readDagFor(
  db: Db,
  key: CallerKey,
  dagId: string,
  rights: RightsContext,
): Promise<With<DagFacts | null> | null> {
  return await readForCaller<DagFacts | null>(db, key, {
    name: 'dag_for_try',
    allowed: mayReadDag(rights, dagId),
    value: sql`(SELECT json_build_object('dag_id', d.dag_id, 'is_paused', d.is_paused, 'bundle_name', d.bundle_name,
        'bundle_version', v.bundle_version, 'relative_fileloc', d.relative_fileloc, 'owners', d.owners,
        'tags', COALESCE((SELECT json_agg(g.name ORDER BY g.name COLLATE "C") FROM dag_tag g WHERE g.dag_id = d.dag_id), '[]'),
        'next_dagrun', d.next_logical_date)
      FROM dag d LEFT JOIN dag_version v ON v.id = d.current_version_id WHERE d.dag_id = ${dagId})`,
  });
}
