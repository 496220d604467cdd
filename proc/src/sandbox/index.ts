/**
 * Starts a child that runs code which nobody trusts: a task's runner or the parser of a Dag file. The child is restricted
 * before the first line of its entry runs, and stays restricted with everything that it starts.
 * @see docs/security/workload.md
 */
export { trackChildren } from './children-file.ts';
export { detectTier, requireTier } from './detect.ts';
export { SANDBOX_FAILED_STATUS } from './enter-plan.ts';
export { ENTER_SOURCE, launchSandboxed } from './launch.ts';
export { shareFolder } from './share-folder.ts';
export type { ChildExit, ExtraPath, SandboxedChild, SandboxLimits, SandboxSpec } from './types.ts';
export type { UidRange } from './uids.ts';
export { clearWorkDirs } from './work-dir.ts';
