/** The files of a bundle on this host, for what runs the Python code in them. */
import { realpathSync } from 'node:fs';
import { AppError } from '@airlock/contract/errors';
import type { GitSource } from '@airlock/contract/git-source';
import type { RoleContext } from '../role-context.ts';
import { gitCheckouts } from './checkouts.ts';

export type BundleFiles = {
  /** Absolute, without links. */
  readonly root: string;
  /** Gives them back: until then they stay. */
  readonly release: () => void;
};

/**
 * The folder of a bundle; for git, its files at the version.
 * @param bundle.path null = the bundle is not configured any more
 * @throws AppError PYTHON_UNAVAILABLE or BUNDLE_UNAVAILABLE
 */
export async function filesOfBundle(
  ctx: RoleContext,
  bundle: {
    readonly path: string | null;
    readonly git?: Omit<GitSource, 'tracking_ref'> | null | undefined;
    readonly version: string | null;
  },
): Promise<BundleFiles> {
  if (!bundle.git) return { root: folderOf(bundle.path), release: () => undefined };
  const { root, release } = await gitCheckouts(ctx).at(bundle.git, bundle.version ?? '');
  return { root: realpathSync(root), release };
}

function folderOf(path: string | null): string {
  let cause: unknown;
  try {
    if (path !== null) return realpathSync(path);
  } catch (error) {
    cause = error;
  }
  throw new AppError('PYTHON_UNAVAILABLE', {
    public: `The folder of the bundle, ${path ?? 'which is not configured any more'}, is not on this host.`,
    remedy: 'Make it available under the same name, or start workers and triggerers where it is.',
    cause,
  });
}
