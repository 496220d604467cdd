/** What a sandboxed child may see and use, and the handle that its parent holds. */
import type { Readable } from 'node:stream';
import type { FromRunner, ToRunner } from '@airlock/contract/ipc/runner';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import type { UidRange } from './uids.ts';

/** A path of the host that the child sees under the same name. */
export type ExtraPath = { readonly path: string; readonly access: 'read' | 'write' };

/** Kernel limits of the child and of all that it starts together, where the kernel counts per user id. */
export type SandboxLimits = {
  /** Open files for each process. */
  readonly openFiles: number;
  /** Processes and threads of the child's user id. Below about 20 Node hangs at its start; 256 is the least accepted. */
  readonly processes: number;
  /** Largest file that may be written, bytes. */
  readonly fileBytes: number;
  /** Size of the private work folder, bytes; only the `namespaces` tier can enforce it. */
  readonly workBytes: number;
};

export type SandboxProgram = {
  readonly argv: readonly string[];
  /** Most address space of it and of each process that it starts, bytes. */
  readonly memoryBytes: number;
  /** Symbolic links on the way to it that no shown path holds; made anew where the child has a file tree of its own. */
  readonly links: ReadonlyArray<{ readonly path: string; readonly target: string }>;
};

export type SandboxSpec = {
  /** From `detectTier()`; a launch never falls back to a weaker one by itself. */
  readonly tier: SandboxTier;
  /** The script, absolute, inside one of `packages`. */
  readonly entry: string;
  /**
   * One plain JavaScript file made from enter.ts, which otherwise is started as its sources: those take 40 ms, since Node
   * has to load its type stripper first. The file takes 3 ms.
   */
  readonly enterScript?: string;
  /**
   * Another program that takes the child's place once it is restricted, with the channel on descriptor 3; the entry is then
   * never loaded. Absolute path first, then arguments. @see docs/decisions/0016-python-runs-whole-behind-a-relay.md
   */
  readonly program?: SandboxProgram;
  /** Folders of workspace packages whose code the entry imports (real paths); their dependencies are found and shown too. */
  readonly packages: readonly string[];
  /** `host` shares the host's network; `none` has no address family but Unix, and that only where no socket is in sight. */
  readonly network: 'host' | 'none';
  /** Further paths: a bundle root (read), the path of a declared `fs` connection (write). */
  readonly extra?: readonly ExtraPath[];
  /** For a template, see template.ts: the descriptor of ours that it gets as its descriptor 5, and takes orders to fork from. */
  readonly control?: number;
  /** True: the child waits for `enter()` before it restricts itself and runs, so that its extra paths may come later. */
  readonly deferred?: boolean;
  /** Paths that stay hidden even where they lie inside a shown tree: the data folder. */
  readonly hide?: readonly string[];
  /** Added to the child's own minimal environment (PATH, HOME, TMPDIR, USER, LOGNAME, LANG, TZ). Never anything secret. */
  readonly env?: Readonly<Record<string, string>>;
  readonly limits?: Partial<SandboxLimits>;
  /** Further switches of Node, before the entry. */
  readonly nodeArgs?: readonly string[];
  /** Range that root takes user ids from, one for each living child. Default `[sandbox] uid_range_start` and `_size`. */
  readonly uids?: UidRange;
  /** Where work folders are made in tiers without a file tree of the child's own; default the system's temporary folder. */
  readonly workBase?: string;
};

export type ChildExit = { readonly code: number | null; readonly signal: string | null };

export type SandboxedChild = {
  /** As the host sees it; of the outermost process that belongs to the child. */
  readonly pid: number;
  /** The private, empty, writable folder as the child sees it, absolute. It is gone when the child is. */
  readonly workDir: string;
  readonly tier: SandboxTier;
  /** Only for a deferred child, once: these paths besides those of the spec, and go. */
  enter(extra: readonly ExtraPath[]): void;
  /** Writes one frame. Ignored once the child is gone. @throws AppError BODY_TOO_LARGE above MAX_PARENT_FRAME_BYTES */
  send(frame: ToRunner): void;
  /** Frames of the child, checked against the contract. One listener; frames that came before it are kept. */
  onFrame(listener: (frame: FromRunner) => void): void;
  /** Called once when a frame breaks the contract (size, JSON, depth, shape); the child has been killed then. */
  onBroken(listener: (reason: string) => void): void;
  /** Unread output holds the child back: read it, or call `resume()`. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when the child and, where the tier can tell, everything that it started is gone. Never rejects. */
  readonly exited: Promise<ChildExit>;
  /** SIGKILL to the child and all that it started; resolves when they are gone. Safe to repeat. */
  kill(): Promise<ChildExit>;
};
