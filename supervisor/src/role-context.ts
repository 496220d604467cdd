/** What every role of a supervisor process is given at its start. */
import type { Clock } from '@airlock/contract/clock';
import type { Config } from '@airlock/contract/config/index';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import type { Logger } from 'pino';
import type { ChildEntries } from './child-entries.ts';
import type { ExecutionClient, TokenHolder } from './client/index.ts';

export type RoleContext = {
  readonly client: ExecutionClient;
  readonly supervisorId: string;
  /** The token of this role; renewed by the server with the heartbeats. */
  readonly token: TokenHolder;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  /** The strongest tier of this host; every child of this process gets it. */
  readonly tier: SandboxTier;
  readonly hostname: string;
  /** Name of the user that this process runs as. */
  readonly unixname: string;
  /** Base of the Execution API, for worker commands. */
  readonly executionUrl: string;
  /** What this process was started with; worker commands get a listed part of it, other children nothing. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Programs of the children. */
  readonly entries: ChildEntries;
  /** Real paths of the workspace packages that children import: the SDK, and the contract. */
  readonly packages: readonly string[];
  /** Folder of our own for work folders, where the tier needs one. */
  readonly workBase: string;
  /** Paths that no child may see even where they lie inside a shown tree. */
  readonly hidden: readonly string[];
};

/** A running role. */
export type Role = {
  /** Ends its children and its loops; resolves when nothing of it is left. */
  stop(): Promise<void>;
};
