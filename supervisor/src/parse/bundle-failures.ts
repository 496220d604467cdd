/**
 * What the server is told of bundles that can't be opened or fetched: at once for a new reason, and again each minute, since
 * another dag-processor that reads the bundle takes the word back.
 */
import { isAppError } from '@airlock/contract/errors';
import type { BundleList } from '@airlock/contract/supervisor-api';
import type { ParseApi } from './api.ts';

const AGAIN_MS = 60_000;

export type BundleFailures = {
  /** Never rejects; what could not be told is told with the next failure. */
  tell(bundle: BundleList['bundles'][number], error: unknown): Promise<void>;
  /** The bundle is read again. @returns whether it had failed */
  forget(name: string): boolean;
};

export function createBundleFailures(options: {
  readonly api: Pick<ParseApi, 'failure'>;
  readonly signal: AbortSignal;
  readonly log: { warn(fields: object, text: string): void };
}): BundleFailures {
  const told = new Map<string, { readonly text: string; readonly atMs: number }>();
  return {
    async tell(bundle, error) {
      const { name } = bundle;
      const text = failureText(bundle, error);
      const last = told.get(name);
      if (last?.text === text && performance.now() - last.atMs < AGAIN_MS) return;
      options.log.warn({ err: error, bundle: name }, 'a bundle can not be read; it will be tried again');
      // Before the call: where its answer is lost, the server may know.
      told.set(name, { text, atMs: Number.NEGATIVE_INFINITY });
      try {
        await options.api.failure(name, text, options.signal);
        told.set(name, { text, atMs: performance.now() });
      } catch (refused) {
        if (!options.signal.aborted)
          options.log.warn({ err: refused, bundle: name }, 'the server could not be told of a bundle that fails');
      }
    },
    forget: (name) => told.delete(name),
  };
}

/** In words, with what helps; for the people who see the import errors of the bundle. */
export function failureText(bundle: BundleList['bundles'][number], error: unknown): string {
  const why = isAppError(error)
    ? `${error.message} ${error.remedy}`
    : bundle.git === null
      ? `The folder ${bundle.path} can not be read. Bring it back, let the user of the dag-processor read it, or correct its path in the configuration.`
      : `${error instanceof Error ? error.message : String(error)}.`;
  return `${why} Until then the Dags of the bundle ${bundle.name} stay as they were read last.`;
}
