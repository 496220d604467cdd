/** One parse of one file: a fresh sandboxed child without network and token, bounded in time, memory and output. */
import { realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DagWarning } from '@airlock/contract/dag/warning';
import type { FromRunner, ParseOutcome, ToRunner } from '@airlock/contract/ipc/runner';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import type { TimetableFacts } from '@airlock/contract/timetables';
import { type ChildExit, launchSandboxed, type SandboxedChild, type SandboxSpec } from '@airlock/proc/sandbox/index';
import { followChild } from '../follow-child.ts';
import { importErrorText, plainImportError } from './import-error.ts';
import { packageFolders } from './scan.ts';

/** The SDK's own folder; the supervisor starts its programs and never imports them. */
export const SDK_FOLDER = realpathSync(fileURLToPath(new URL('../../../sdk', import.meta.url)));
/** The parser as sources; slower to start than the bundled one that a supervisor makes. */
const PARSER_SOURCE = join(SDK_FOLDER, 'bin/parser.ts');

/** Heap of a parse child, MiB. Address space can't be bounded instead: Node reserves more than it uses. */
const HEAP_MIB = 512;
const MAX_OUTPUT_BYTES = 64 * 1024;

export type ParseJob = {
  readonly bundleName: string;
  /** Real path of the bundle. */
  readonly root: string;
  /** The path under which the server knows the bundle. */
  readonly shownRoot: string;
  readonly relative: string;
};

export type ParseChildOptions = {
  readonly tier: SandboxTier;
  readonly entry?: string;
  readonly enterScript?: string;
  readonly timeoutMs: number;
  /** `[dag_processor] disable_bundle_versioning`; default false. */
  readonly disableBundleVersioning?: boolean | undefined;
  /** Default: none for any bundle. */
  readonly networkOf?: (bundleName: string) => SandboxSpec['network'];
  /** Folders of the packages that the parser imports, and what stays out of sight; as for every child of this supervisor. */
  readonly packages: readonly string[];
  readonly hidden: readonly string[];
  readonly workBase?: string;
  readonly uids?: SandboxSpec['uids'];
};

export type ParsedFile = {
  /** Null when the file has an import error. */
  readonly dags: readonly unknown[];
  readonly moduleCode: string | null;
  /** False when the file never became a module: then `inputs` says nothing. */
  readonly bundled: boolean;
  readonly inputs: readonly string[];
  readonly importError: string | null;
  /** Of a module in an archive, when it could be unpacked: what the child read before it ran any of it. */
  readonly source?: string | null;
  readonly warnings: readonly string[];
  /** About single Dags; absent = none. */
  readonly dagWarnings?: readonly DagWarning[];
  /** By Dag id, of those whose timetable is the author's own; absent = none. */
  readonly timetables?: Readonly<Record<string, TimetableFacts>>;
  /** What the file printed while it was parsed, cut. */
  readonly output: string;
};

/** Parses one file. Resolves in every case but a failed launch; the child is gone then. */
export type ParseFile = (job: ParseJob, signal: AbortSignal) => Promise<ParsedFile>;

/** Keeps the start of what a stream says, and reads on, so that the writer is never held back. */
function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let kept = 0;
  stream.on('data', (chunk: Buffer) => {
    if (kept >= MAX_OUTPUT_BYTES) return;
    const part = chunk.subarray(0, MAX_OUTPUT_BYTES - kept);
    chunks.push(part);
    kept += part.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/**
 * As root we can read everything, and our children, who have a user id of their own, can't. The first path from the
 * bundle's root to the file that is closed to them, as the bundle's owner sees it; null when there is none.
 */
export function closedPath(job: ParseJob): string | null {
  if (process.getuid?.() !== 0) return null;
  const parts = job.relative.split('/');
  for (let length = 0; length <= parts.length; length++) {
    const inner = parts.slice(0, length).join('/');
    const mode = statSync(join(job.root, inner), { throwIfNoEntry: false })?.mode ?? 0o777;
    const wanted = length === parts.length ? 0o004 : 0o005;
    if ((mode & wanted) !== wanted) return join(job.shownRoot, inner);
  }
  return null;
}

/** @throws AppError when no child can be started, or the signal aborts the parse */
export function makeParseFile(options: ParseChildOptions): ParseFile {
  return async (job, signal) => {
    signal.throwIfAborted();
    const closed = options.tier === 'none' ? null : closedPath(job);
    if (closed !== null) {
      const message = `${closed} may not be read by other users, and Dag files are parsed as one of those.`;
      return failed(plainImportError(job.relative, message, `Run: chmod -R o+rX ${job.shownRoot}`), null, '');
    }
    const child = launchSandboxed({
      tier: options.tier,
      entry: options.entry ?? PARSER_SOURCE,
      enterScript: options.enterScript,
      uids: options.uids,
      packages: options.packages,
      network: options.networkOf?.(job.bundleName) ?? 'none',
      hide: options.hidden,
      workBase: options.workBase,
      extra: [job.root, ...packageFolders(job.root)].map((path) => ({ path, access: 'read' as const })),
      nodeArgs: [`--max-old-space-size=${HEAP_MIB}`],
    });
    const end = await followParse(child, job, signal, {
      parseMs: options.timeoutMs,
      disableBundleVersioning: options.disableBundleVersioning,
    });
    if (end.report) return fromReport(end.report, end.inputs !== null, end.output);
    return failed(explainExit(job.relative, end, options.timeoutMs), end.inputs, end.output);
  };
}

export type ParseLimits = {
  /** From the order, or from when the child says that it is idle. */
  readonly parseMs: number;
  /** Bound of what comes before that; absent = the child is never idle. */
  readonly startMs?: number;
  /** Absent = a child that asks is answered that it may not. */
  readonly reads?: ParseReads;
  /** For Dags of TypeScript; those of Python read it from their environment. */
  readonly disableBundleVersioning?: boolean | undefined;
};

/** What the top level of a file asks for: the value, or why there is none. */
export type ParseRead = Extract<FromRunner, { type: 'get_variable' | 'get_connection' }>;
export type ParseReads = (job: ParseJob, read: ParseRead, signal: AbortSignal) => Promise<ReadAnswer>;
export type ReadAnswer = Pick<Extract<ToRunner, { type: 'answer' }>, 'value' | 'error'>;
/** Of one parse; each costs the server a look-up. */
const MAX_READS = 1000;

export type ParseEnd = {
  /** Null when the child ended without one. */
  readonly report: ParseOutcome | null;
  /** Null when the file never became a module. */
  readonly inputs: readonly string[] | null;
  /** The first that the child said, which is before the file can say anything. */
  readonly source: string | null;
  readonly late: boolean;
  /** What was wrong with its last message. */
  readonly broken: string | null;
  readonly exit: ChildExit;
  readonly stderr: string;
  readonly output: string;
};

const unreachable = (): ReadAnswer => ({
  error: { status: null, code: 'API_UNREACHABLE', message: 'The server could not be reached.' },
});

/** Gives a fresh child its one order, and waits for its report or its end. It is gone when this resolves. @throws the signal's reason */
export async function followParse(
  child: SandboxedChild,
  job: ParseJob,
  signal: AbortSignal,
  limits: ParseLimits,
): Promise<ParseEnd> {
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  let inputs: readonly string[] | null = null;
  let source: string | null = null;
  let reads = 0;
  const answer = async (read: ParseRead) => {
    const mayNot = { error: { status: 403, code: 'NOT_ENTITLED', message: 'Not at parse.' } };
    const asked = limits.reads !== undefined && ++reads <= MAX_READS;
    const found = asked ? await limits.reads(job, read, signal).catch(unreachable) : mayNot;
    child.send({ type: 'answer', id: read.id, ...found });
  };
  const end = await followChild<ParseOutcome>(child, {
    order: {
      type: 'parse',
      bundle_root: job.root,
      file: join(job.root, job.relative),
      relative_fileloc: job.relative,
      fileloc: join(job.shownRoot, job.relative),
      bundle_name: job.bundleName,
      disable_bundle_versioning: limits.disableBundleVersioning ?? false,
    },
    onFrame(frame, answered) {
      if (frame.type === 'bundled') inputs = frame.inputs;
      if (frame.type === 'source') source ??= frame.text;
      if (frame.type === 'parsed') answered(frame);
      if (frame.type === 'get_variable' || frame.type === 'get_connection') void answer(frame);
    },
    workMs: limits.parseMs,
    ...(limits.startMs === undefined ? {} : { startMs: limits.startMs }),
    signal,
  });
  const { answer: report, late, broken, exit } = end;
  return { report, inputs, source, late, broken, exit, stderr: stderr(), output: stdout() + stderr() };
}

function fromReport(report: ParseOutcome, bundled: boolean, output: string): ParsedFile {
  const problem = report.import_error;
  return {
    dags: problem ? [] : report.dags,
    moduleCode: problem ? null : (report.module?.code ?? null),
    bundled,
    inputs: report.inputs,
    importError: problem ? importErrorText(problem) : null,
    warnings: report.warnings,
    output,
  };
}

export function failed(importError: string, inputs: readonly string[] | null, output: string): ParsedFile {
  return {
    dags: [],
    moduleCode: null,
    bundled: inputs !== null,
    inputs: inputs ?? [],
    importError,
    warnings: [],
    output,
  };
}

function explainExit(file: string, { late, broken, exit, stderr }: ParseEnd, timeoutMs: number): string {
  if (late) {
    const message = `Parsing took longer than ${timeoutMs / 1000} s and was stopped.`;
    return plainImportError(
      file,
      message,
      'Look for an endless loop or a wait outside of run; [core] dagbag_import_timeout is the limit.',
    );
  }
  if (broken !== null) {
    return plainImportError(
      file,
      `The parser sent something that is no report: ${broken}.`,
      'A Dag file must not write to descriptor 3.',
    );
  }
  const how = exit.signal === null ? `status ${exit.code}` : `signal ${exit.signal}`;
  const memory = /heap out of memory|allocation failed/i.test(stderr);
  return memory
    ? plainImportError(file, `Parsing needed more than ${HEAP_MIB} MiB of memory.`, 'Read large data inside run.')
    : plainImportError(
        file,
        `The parser ended with ${how} before it could report.`,
        'See what the file printed, below.',
        stderr.slice(-4000),
      );
}
