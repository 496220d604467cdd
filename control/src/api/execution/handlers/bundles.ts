/** What a dag-processor asks and tells; the documents are checked where they are taken in. */
import { bundleListing, parseReport } from '@airlock/contract/supervisor-api';
import { type BundleRow, findBundle } from '@airlock/store/queries/dag/ingest';
import { listBundles } from '@airlock/store/queries/supervisor/bundles';
import type { SupervisorRow } from '@airlock/store/queries/supervisor/register';
import { applyBundleListing, ingestParseReport, recordBundleFailure } from '../../../runs/index.ts';
import { parseBody } from '../../http/validation.ts';
import type { Call, ExecutionContext } from '../context.ts';
import { notEntitled } from '../errors.ts';
import { forSupervisor } from './supervisors.ts';

/**
 * The bundle in the path, if this supervisor may parse it. One that it may not parse, one that is not in use and one that does
 * not exist are refused alike. @throws NOT_ENTITLED
 */
export async function parsedBundle(
  context: ExecutionContext,
  call: Call,
  supervisor: SupervisorRow,
): Promise<BundleRow> {
  const name = call.params.bundle_name ?? '';
  const mayParse = supervisor.bundles === null || supervisor.bundles.includes(name);
  const bundle = mayParse ? await findBundle(context.db, name) : null;
  if (bundle === null) throw notEntitled(`bundle ${name}`);
  return bundle;
}

export const bundles = forSupervisor(async (context, _call, supervisor) => ({
  status: 200,
  body: { bundles: await listBundles(context.db, supervisor.bundles) },
}));

export const report = forSupervisor(async (context, call, supervisor) => {
  const bundle = await parsedBundle(context, call, supervisor);
  const body = parseBody(parseReport, call.request);
  const { core } = context.deps.config;
  const answer = await context.db.transaction((tx) =>
    ingestParseReport(tx, {
      bundleName: bundle.name,
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

export const listing = forSupervisor(async (context, call, supervisor) => {
  const bundle = await parsedBundle(context, call, supervisor);
  const told = parseBody(bundleListing, call.request);
  const about = { bundleName: bundle.name, nowIso: call.nowIso };
  await context.db.transaction(async (tx) => {
    if ('failure' in told) await recordBundleFailure(tx, { ...about, text: told.failure });
    else await applyBundleListing(tx, { ...about, files: told.files });
  });
  return { status: 204 };
});
