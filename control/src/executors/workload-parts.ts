/** What the workloads of tries, callbacks and triggers have in common. */
import type { GitSource } from '@airlock/contract/git-source';

type TryRow = {
  readonly task_id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly try_number: number;
  readonly dag_version_id: string;
  readonly map_index: number;
  readonly queue: string;
  readonly pool_slots: number;
  readonly priority_weight: number;
};

/** The task instance as every workload names it. @see execution API 5.1 */
export function workloadTi(id: string, row: TryRow) {
  return {
    id,
    task_id: row.task_id,
    dag_id: row.dag_id,
    run_id: row.run_id,
    try_number: row.try_number,
    dag_version_id: row.dag_version_id,
    map_index: row.map_index,
    hostname: null,
    context_carrier: null,
    queue: row.queue,
    pool_slots: row.pool_slots,
    priority_weight: row.priority_weight,
  };
}

/** Where the files of a git bundle come from; nothing for other bundles. */
export function workloadGit({ bundle_git: git }: { readonly bundle_git: GitSource | null }) {
  return git === null ? {} : { git: { repo_url: git.repo_url, subdir: git.subdir } };
}

/** Makes the workloads of claimed rows; gives the claims back when one can't be made, or when nobody waits for them any more. */
export async function makeOrRelease<Row, Workload>(options: {
  readonly rows: readonly Row[];
  readonly make: (row: Row) => Promise<Workload>;
  readonly release: () => Promise<void>;
  readonly signal: AbortSignal;
}): Promise<Workload[]> {
  try {
    const workloads = await Promise.all(options.rows.map(options.make));
    if (!options.signal.aborted) return workloads;
  } catch (error) {
    await options.release();
    throw error;
  }
  await options.release();
  return [];
}
