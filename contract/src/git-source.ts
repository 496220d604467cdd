import { z } from 'zod';

/** Where the files of a git bundle come from. */
export const gitSource = z.strictObject({
  repo_url: z.string(),
  tracking_ref: z.string(),
  /** Folder within the repository that is the bundle; null = all of it. */
  subdir: z.string().nullable(),
});
export type GitSource = z.infer<typeof gitSource>;

/** Without the ref: for work that is pinned to a commit, which is named beside it. */
export const pinnedGitSource = gitSource.omit({ tracking_ref: true });
