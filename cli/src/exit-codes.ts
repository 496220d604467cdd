/** What the exit status means; docs/cli.md lists the same numbers, and a test compares them. */
export const EXIT_CODES = {
  ok: 0,
  /** The thing asked for did not come out well: a run failed, a request was refused, a configuration is wrong. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** No server answers. */
  unreachable: 3,
  /** Not logged in, or the role does not allow it. */
  denied: 4,
  /** The Dag, run, task, user or option does not exist. */
  notFound: 5,
  /** `--timeout` ran out before the run ended. The run goes on. */
  timedOut: 6,
  /** Stopped by Ctrl-C. What was started on the server goes on. */
  interrupted: 130,
} as const;

/** An expected end of a command: its text goes to standard error, without a stack. */
export class CliError extends Error {
  readonly exitCode: number;
  readonly remedy: string | null;
  constructor(exitCode: number, message: string, remedy: string | null = null, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
    this.exitCode = exitCode;
    this.remedy = remedy;
  }
}
