/** What every command is given; made once in main.ts from the process, and by hand in tests. */
import type { Readable } from 'node:stream';
import type { Client } from './client.ts';
import type { Output } from './output.ts';

export type Context = {
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  readonly output: Output;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** The server that `--url` names, or the one on the control socket. */
  readonly client: () => Client;
  /** Ends this command and becomes the one that changes the key files. */
  readonly becomeKeysTool: (words: readonly string[]) => never;
  /** Epoch ms. */
  readonly nowMs: () => number;
  /** Resolves after `ms`; rejects with a CliError when the user interrupts. */
  readonly pause: (ms: number) => Promise<void>;
};
