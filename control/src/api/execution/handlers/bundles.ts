/** What a dag-processor asks and tells; the documents are checked where they are taken in. */
import { bundleListing, parseReport } from '@airlock/contract/supervisor-api';
import { listBundles } from '@airlock/store/queries/supervisor/bundles';
import { applyBundleListing, ingestParseReport } from '../../../runs/index.ts';
import { parseBody } from '../../http/validation.ts';
import { forSupervisor } from './supervisors.ts';

export const bundles = forSupervisor(async (context) => ({
  status: 200,
  body: { bundles: await listBundles(context.db) },
}));

export const report = forSupervisor(async (context, call) => {
  const body = parseBody(parseReport, call.request);
  const { core } = context.deps.config;
  const answer = await context.db.transaction((tx) =>
    ingestParseReport(tx, {
      bundleName: call.params.bundle_name ?? '',
      report: body,
      nowIso: call.nowIso,
      defaults: {
        pausedAtCreation: core.dags_are_paused_at_creation,
        maxActiveRuns: core.max_active_runs_per_dag,
        maxActiveTasks: core.max_active_tasks_per_dag,
        maxConsecutiveFailedDagRuns: core.max_consecutive_failed_dag_runs_per_dag,
      },
    }),
  );
  return { status: 200, body: answer };
});

export const listing = forSupervisor(async (context, call) => {
  const { files } = parseBody(bundleListing, call.request);
  await context.db.transaction((tx) =>
    applyBundleListing(tx, { bundleName: call.params.bundle_name ?? '', files, nowIso: call.nowIso }),
  );
  return { status: 204 };
});
