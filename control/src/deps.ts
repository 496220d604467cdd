/** What the parts of a control process are given at start; `bin/` builds it once and passes it down. */
import type { Clock } from '@airlock/contract/clock';
import type { ShownConfig } from '@airlock/contract/config/handed';
import type { Config } from '@airlock/contract/config/index';
import type { Database, StoreEvent } from '@airlock/store';
import type { TokenVerifier } from '@airlock/token-verify';
import type { Logger } from 'pino';
import type { SecretBox } from './api/secrets/index.ts';
import type { SecretSources } from './api/secrets/sources.ts';
import type { TokenMinter } from './tokens/minter.ts';
import type { SigningCheck } from './tokens/signing-check.ts';

/** Store notifications of this process: one LISTEN connection, many listeners. */
export type EventHub = {
  /** @returns a function that removes the listener. */
  readonly on: (listener: (event: StoreEvent) => void) => () => void;
  /** Called after each gap in which notifications may have been lost. */
  readonly onGap: (listener: () => void) => () => void;
};

export type ControlDeps = {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config: Config;
  /** All options as text, secrets hidden; for showing and nothing else. */
  readonly shownConfig: ShownConfig;
  readonly minter: TokenMinter;
  readonly verifier: TokenVerifier;
  readonly signingWorks: SigningCheck;
  /** Keys of others could not be read for some time. */
  readonly trustedKeysOverdue: () => boolean;
  readonly events: EventHub;
  /** Opens and seals secrets at rest; see control/src/api/secrets/stored.ts. */
  readonly secrets: SecretBox;
  /** Where connections and variables of tasks are looked up before the database. */
  readonly secretSources: SecretSources;
  /** UUID of this process; names it in `job`, `queued_by` and logs. */
  readonly instanceId: string;
};
