/** What a parent tells the child's very first statements: facts only, nothing left to decide, nothing secret. */
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import type { SandboxLimits } from './types.ts';

export type EnterPlan = {
  readonly tier: SandboxTier;
  /** User and group id to become; null where the parent is not root. */
  readonly uid: number | null;
  /** Supplementary groups, besides a group of the child's own: those of the folders that it may write. */
  readonly groups: readonly number[];
  readonly workDir: string;
  /** What takes the place of the entry; null = the entry runs. */
  readonly program: { readonly argv: readonly string[]; readonly memoryBytes: number } | null;
  readonly limits: SandboxLimits;
  readonly families: { readonly unix: boolean; readonly internet: boolean };
  /**
   * A process that forks: it stays able to make namespaces, and each fork restricts itself as any other child does. As root
   * in two stages: `outer` builds the file tree and starts anew in a user namespace, whose ids the parent then gives it.
   */
  readonly template: 'outer' | 'inner' | null;
  /** The file tree of the `namespaces` tier, in order; null for the others, and where an earlier stage has built it. */
  readonly tree: null | {
    readonly binds: ReadonlyArray<{
      readonly path: string;
      readonly access: 'read' | 'write' | 'device';
      readonly folder: boolean;
    }>;
    readonly links: ReadonlyArray<{ readonly path: string; readonly target: string }>;
    readonly files: ReadonlyArray<{ readonly path: string; readonly text: string }>;
    readonly hidden: readonly string[];
  };
  readonly paths: {
    readonly read: readonly string[];
    readonly write: readonly string[];
    readonly devices: readonly string[];
  };
};

/** Exit status of a child that could not restrict itself; its last line on standard error says why. */
export const SANDBOX_FAILED_STATUS = 97;
