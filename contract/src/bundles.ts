/** How it is told that a bundle as a whole can't be read: a repository that is gone, a folder that is missing. */

/** What such an import error is about, in the place of a file; no file of a bundle has this name. */
export const BUNDLE_ITSELF = '.';

/** Header of the health answer: how many bundles can't be read just now. Which, since when and what helps is an import error. */
export const FAILING_BUNDLES_HEADER = 'airlock-failing-bundles';
