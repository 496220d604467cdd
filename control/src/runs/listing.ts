/** What exists in a bundle decides which Dags are there. @see scheduling semantics 13, stale */
import { type Db, notify } from '@airlock/store';
import { refreshActiveAssets } from '@airlock/store/queries/asset/ingest';
import { lockIngestion, markStale } from '@airlock/store/queries/dag/ingest';
import { dropMissingFiles, setBundleFailure } from '@airlock/store/queries/dag/listing';

/** Marks Dags of files that are gone as stale, and forgets those files. @returns the Dags that became stale */
export async function applyBundleListing(
  tx: Db,
  options: { readonly bundleName: string; readonly files: readonly string[]; readonly nowIso: string },
): Promise<readonly string[]> {
  await lockIngestion(tx);
  const gone = await dropMissingFiles(tx, options.bundleName, options.files);
  await markStale(tx, gone, options.nowIso);
  if (gone.length > 0) await refreshActiveAssets(tx, options.nowIso);
  if (gone.length > 0) await notify(tx, { kind: 'schedule' });
  return gone;
}

/** Keeps why a bundle can't be read. Its Dags stay as they are; the next listing takes it back. */
export async function recordBundleFailure(
  tx: Db,
  options: { readonly bundleName: string; readonly text: string; readonly nowIso: string },
): Promise<void> {
  await setBundleFailure(tx, { ...options, text: options.text.replaceAll('\0', '\uFFFD') });
}
