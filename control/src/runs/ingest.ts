/**
 * Takes the report of one parsed file into the database: Dags, versions, module, tags, next run, import error, in one
 * transaction. The report comes from a child that ran the file's code, so all of it is untrusted until checked here.
 * @see scheduling semantics 13; serialized Dag 11
 */
import { createHash } from 'node:crypto';
import type { DagDocument } from '@airlock/contract/dag/document';
import type { DagWarning } from '@airlock/contract/dag/warning';
import { AppError, isAppError } from '@airlock/contract/errors';
import type { ParseReport, ParseReportAnswer } from '@airlock/contract/supervisor-api';
import { type Db, notify } from '@airlock/store';
import { refreshActiveAssets } from '@airlock/store/queries/asset/ingest';
import {
  type BundleRow,
  findBundle,
  insertModule,
  isVersionInUse,
  type KnownDag,
  lockIngestion,
  lockKnownDags,
  markImportErrors,
  markStale,
  recordFile,
  setBundleVersion,
  setImportError,
  setWarnings,
} from '@airlock/store/queries/dag/ingest';
import {
  deleteUnusedVersion,
  insertVersion,
  notifyRunsOf,
  refreshVersion,
  setTags,
  upsertDag,
} from '@airlock/store/queries/dag/write';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { followTeam } from '@airlock/store/queries/team/follow';
import { dropNextRuns } from '@airlock/store/queries/timetable/ask';
import { canonicalDigest } from '../domain/canonical.ts';
import { checkDagDocument } from '../domain/dag-document.ts';
import { buildDagModel, type DagModel } from '../domain/dag-model.ts';
import { storeAssetReferences } from './asset-references.ts';
import { newId } from './new-ids.ts';
import { refreshNextRun } from './next-run.ts';
import { storeWatchers } from './watchers.ts';

export type IngestOptions = {
  readonly bundleName: string;
  readonly report: ParseReport;
  readonly nowIso: string;
  /** `[core] dags_are_paused_at_creation`, `max_active_runs_per_dag`, `max_active_tasks_per_dag`, `max_consecutive_failed_dag_runs_per_dag`. */
  readonly defaults: {
    readonly pausedAtCreation: boolean;
    readonly maxActiveRuns: number;
    readonly maxActiveTasks: number;
    readonly maxConsecutiveFailedDagRuns: number;
  };
};

type Good = { readonly document: DagDocument; readonly model: DagModel };

/**
 * Takes one file's report. Good Dags of a file are taken even when others of it are refused; the refusals are the file's
 * import error. A file that could not be imported leaves its Dags on their last good version, marked broken.
 * @throws NOT_FOUND when the bundle is not in use · DAG_INVALID a path that leaves the bundle, a module with another hash
 */
export async function ingestParseReport(tx: Db, options: IngestOptions): Promise<ParseReportAnswer> {
  const { bundleName, nowIso } = options;
  const report = checkEnvelope(options.report);
  await lockIngestion(tx);
  const bundle = await findBundle(tx, bundleName);
  if (!bundle) throw new AppError('NOT_FOUND', { public: `There is no bundle ${JSON.stringify(bundleName)}.` });

  const { good, refusals } = checkReport(report);
  const file = { bundleName, relativeFileloc: report.relative_fileloc };
  const known = await lockKnownDags(tx, file, [...good.keys()]);
  const byId = new Map(known.map((row) => [row.dag_id, row]));
  for (const dagId of [...good.keys()]) {
    const other = byId.get(dagId);
    if (!other || isFrom(other, file)) continue;
    // Runs, logs and XComs stay with the id: not even a Dag that is gone may be taken over by another team.
    if (other.team !== null && other.team !== bundle.team) {
      good.delete(dagId);
      refusals.push(`The Dag id ${JSON.stringify(dagId)} belongs to another team. Give this Dag another id.`);
      continue;
    }
    if (other.is_stale) continue;
    good.delete(dagId);
    refusals.push(
      `The Dag id ${JSON.stringify(dagId)} is used by two files: ${other.relative_fileloc} (bundle ${other.bundle_name}), which keeps it, ` +
        `and ${report.relative_fileloc} (bundle ${bundleName}). Give one of them another id.`,
    );
  }
  const importError = [report.import_error, ...refusals].filter((text) => text !== null).join('\n\n') || null;

  await setBundleVersion(tx, { name: bundleName, version: report.bundle_version ?? null, nowIso });
  await recordFile(tx, { ...file, inputsDigest: report.inputs_digest, parseSeconds: report.parse_seconds, nowIso });
  if (report.module && good.size > 0) await insertModule(tx, report.module, nowIso);
  const dags: ParseReportAnswer['dags'] = [];
  for (const { document, model } of good.values()) {
    dags.push(
      await storeDag(tx, { ...options, report }, bundle, { document, model, known: byId.get(model.dagId) ?? null }),
    );
  }
  await setWarnings(tx, { dagIds: [...good.keys()], warnings: warningsOf(report, good), nowIso });
  await setImportError(tx, { ...file, text: importError, nowIso });
  const left = known.filter((row) => isFrom(row, file) && !good.has(row.dag_id)).map((row) => row.dag_id);
  // Dags that a broken file can't show are not gone: they may be behind the error.
  if (importError === null) await markStale(tx, left, nowIso);
  else await markImportErrors(tx, left, true);
  await refreshActiveAssets(tx, nowIso);
  await notifyRunsOf(
    tx,
    dags.filter((dag) => dag.changed).map((dag) => dag.dag_id),
  );
  await notify(tx, { kind: 'schedule' });
  return { dags, import_error: importError };
}

/** One of each kind for a Dag of this file, and none about a Dag of another. */
function warningsOf(report: ParseReport, good: ReadonlyMap<string, Good>): readonly DagWarning[] {
  const found = (report.dag_warnings ?? []).filter(({ dag_id }) => good.has(dag_id));
  const byKey = new Map(found.map((one) => [`${one.warning_type} ${one.dag_id}`, one]));
  return [...byKey.values()].map((one) => ({ ...one, message: one.message.replaceAll('\0', '\uFFFD') }));
}

const isFrom = (row: KnownDag, file: { bundleName: string; relativeFileloc: string }): boolean =>
  row.bundle_name === file.bundleName && row.relative_fileloc === file.relativeFileloc;

/** Longest import error that is kept, characters. */
const MAX_ERROR_LENGTH = 100_000;
/** Of the words for a schedule, characters. */
const MAX_DESCRIPTION = 1000;

/**
 * What surrounds the documents. The path is shown to workers as what to load; the hash names the code for every runner, so a
 * reporter can't be believed about it.
 */
function checkEnvelope(report: ParseReport): ParseReport {
  const path = report.relative_fileloc;
  const refuse = (text: string): never => {
    throw new AppError('DAG_INVALID', { public: text });
  };
  if (
    path.startsWith('/') ||
    path.split('/').some((part) => part === '' || part === '.' || part === '..') ||
    path.includes('\0')
  ) {
    refuse(`${JSON.stringify(path)} is no path inside a bundle.`);
  }
  const { module } = report;
  if (module && createHash('sha256').update(module.code).digest('hex') !== module.hash) {
    refuse('The module does not have the hash that was reported with it.');
  }
  if (module?.code.includes('\0')) refuse('The module holds a NUL character.');
  return {
    ...report,
    source: report.source.replaceAll('\0', '\uFFFD'),
    import_error: report.import_error?.slice(0, MAX_ERROR_LENGTH).replaceAll('\0', '\uFFFD') ?? null,
  };
}

/** Checks every document; what is refused becomes a text of the import error. */
function checkReport(report: ParseReport): { good: Map<string, Good>; refusals: string[] } {
  const good = new Map<string, Good>();
  const refusals: string[] = [];
  for (const untrusted of report.dags) {
    try {
      const document = withFile(checkDagDocument(untrusted), report.relative_fileloc);
      const model = buildDagModel(document);
      if (good.has(model.dagId)) {
        throw new AppError('DAG_INVALID', {
          public: `The file has two Dags with the id ${JSON.stringify(model.dagId)}.`,
        });
      }
      good.set(model.dagId, { document, model });
    } catch (error) {
      if (!isAppError(error, 'DAG_INVALID')) throw error;
      refusals.push(`${report.relative_fileloc}: ${error.message} ${error.remedy}`);
    }
  }
  return { good, refusals };
}

/** The reported path is the file's identity, and what a worker is told to load; a document can't choose another. */
function withFile(document: DagDocument, relativeFileloc: string): DagDocument {
  return { ...document, dag: { ...document.dag, relative_fileloc: relativeFileloc } };
}

async function storeDag(
  tx: Db,
  options: IngestOptions,
  bundle: BundleRow,
  dag: Good & { readonly known: KnownDag | null },
): Promise<ParseReportAnswer['dags'][number]> {
  const { report, nowIso, defaults } = options;
  const { document, model, known } = dag;
  const timetable = (model.timetable.isAsked && report.timetables?.[model.dagId]) || model.timetable;
  const moduleHash = report.module?.hash ?? null;
  const bundleVersion = report.bundle_version ?? null;
  const digest = canonicalDigest(document, moduleHash);
  const same =
    known !== null &&
    known.version_id !== null &&
    known.digest === digest &&
    known.bundle_name === bundle.name &&
    // The same text under another team is a version of that team.
    known.version_team === bundle.team;
  // A version that no run has used is replaced, and its number given again: edits before the first run leave no trail.
  const former = same ? null : (known?.version_id ?? null);
  const unused = former !== null && !(await isVersionInUse(tx, model.dagId, former)) ? former : null;
  const versionId = same ? known.version_id! : newId(nowIso);

  const values = {
    dagId: model.dagId,
    bundleName: bundle.name,
    relativeFileloc: report.relative_fileloc,
    fileloc: document.dag.fileloc,
    team: bundle.team,
    displayName: model.displayName,
    description: model.description,
    owners: model.owners,
    timetableType: model.timetable.type,
    timetableSummary: timetable.summary,
    timetableDescription: timetable.description.slice(0, MAX_DESCRIPTION),
    timetablePeriodic: timetable.periodic,
    isPaused: model.isPausedUponCreation ?? defaults.pausedAtCreation,
    maxActiveRuns: model.maxActiveRuns ?? defaults.maxActiveRuns,
    maxActiveTasks: model.maxActiveTasks ?? defaults.maxActiveTasks,
    maxConsecutiveFailedDagRuns: model.maxConsecutiveFailedDagRuns || defaults.maxConsecutiveFailedDagRuns,
    allowedRunTypes: model.allowedRunTypes,
    currentVersionId: versionId,
    parseSeconds: report.parse_seconds,
    nowIso,
  };
  // The reference from Dag to version is checked at commit, so the Dag may come first.
  await upsertDag(tx, values);
  if (known !== null && known.team !== bundle.team) await followTeam(tx, [model.dagId]);
  const replaced = unused !== null && (await deleteUnusedVersion(tx, unused));
  const number = (known?.version_number ?? 0) + (same || replaced ? 0 : 1);
  if (!same) {
    await insertVersion(tx, {
      id: versionId,
      dagId: model.dagId,
      versionNumber: number,
      bundleName: bundle.name,
      bundleVersion,
      relativeFileloc: report.relative_fileloc,
      team: bundle.team,
      digest,
      document: JSON.stringify(document),
      source: report.source,
      moduleHash,
      nowIso,
    });
  } else if (known.source !== report.source || known.bundle_version !== bundleVersion) {
    await refreshVersion(tx, { id: versionId, source: report.source, bundleVersion });
  }
  await setTags(tx, model.dagId, model.tags);
  await storeAssetReferences(tx, model, nowIso);
  await storeWatchers(tx, model, bundle.team, nowIso);
  if (!model.timetable.isAsked) await dropNextRuns(tx, model.dagId);
  await refreshNextRun(tx, model, nowIso);
  if (!same || known.is_stale) {
    await insertEventLog(tx, {
      nowIso,
      event: 'dag_version',
      owner: 'dag-processor',
      dagId: model.dagId,
      extra: JSON.stringify({ version: number, bundle: bundle.name, file: report.relative_fileloc }),
    });
  }
  return { dag_id: model.dagId, version_number: number, changed: !same };
}
