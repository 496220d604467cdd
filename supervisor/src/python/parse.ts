/** One parse of one Python file: a fresh sandboxed child that runs the user's Airflow, without network, token or database. */
import { isAppError } from '@airlock/contract/errors';
import { isArchiveName, listArchive } from '../parse/archive.ts';
import { plainImportError } from '../parse/import-error.ts';
import { Inputs } from '../parse/inputs.ts';
import {
  closedPath,
  failed,
  followParse,
  type ParsedFile,
  type ParseEnd,
  type ParseFile,
  type ParseJob,
  type ParseReads,
} from '../parse/parse-child.ts';
import type { Masker } from '../task/mask.ts';
import type { PythonPool } from './pool.ts';

/** Bound on starting an interpreter and importing Airflow, on a busy machine. */
export const START_MS = 120_000;
/** A parse ends itself at the limit, with a traceback; this is for one that can't. */
const GRACE_MS = 2_000;

/** A file that could not be a Dag file, by Airflow's own rule of thumb ([core] dag_discovery_safe_mode). */
export function mayHoldDag(source: string): boolean {
  const text = source.toLowerCase();
  return text.includes('airflow') && (text.includes('dag') || text.includes('asset'));
}

const nothing: ParsedFile = {
  dags: [],
  moduleCode: null,
  bundled: true,
  inputs: [],
  importError: null,
  warnings: [],
  output: '',
};

/** An archive stands for itself only while its modules can't be listed. */
function unusable({ root, relative }: ParseJob): ParsedFile {
  const listing = listArchive(root, relative);
  if (listing === null || !('refused' in listing)) return nothing;
  const hint = 'Pack it anew, with its Dag modules at its top, or name it in .airflowignore if it has none.';
  return failed(plainImportError(relative, listing.refused, hint), null, '');
}

export type PythonParseOptions = {
  readonly hosts: PythonPool;
  readonly timeoutMs: number;
  /** Variables and connections that the top level of a file reads; absent = none. */
  readonly reads?: ParseReads;
  /** For what it reads and then shows, in its import error or its output. */
  readonly newMasker: () => Masker;
  /** False where the sandbox is off, and children are ourselves. */
  readonly ownUser: boolean;
};

/** @throws AppError when no child can be started for another reason than a missing Python */
export function makePythonParse({ hosts, timeoutMs, ownUser, reads, newMasker }: PythonParseOptions): ParseFile {
  return async (job, signal) => {
    signal.throwIfAborted();
    const inputs = new Inputs(job.root);
    if (isArchiveName(job.relative)) return unusable(job);
    const source = inputs.source(job.relative);
    if (source !== null && !mayHoldDag(source)) return nothing;
    const closed = ownUser ? closedPath({ ...job, relative: inputs.fileOf(job.relative) }) : null;
    if (closed !== null) {
      const message = `${closed} may not be read by other users, and Dag files are parsed as one of those.`;
      return failed(plainImportError(job.relative, message, `Run: chmod -R o+rX ${job.shownRoot}`), null, '');
    }
    try {
      const child = await hosts.take({ name: job.bundleName, root: job.root });
      const masker = newMasker();
      const end = await followParse(child, job, signal, {
        parseMs: timeoutMs + GRACE_MS,
        startMs: START_MS,
        ...(reads ? { reads: learning(masker, reads) } : {}),
      });
      return fromEnd(job.relative, shown(masker, end), timeoutMs);
    } catch (error) {
      if (!isAppError(error, 'PYTHON_UNAVAILABLE')) throw error;
      return failed(plainImportError(job.relative, error.message, error.remedy), null, '');
    }
  };
}

/** The same reads; what they give is secret from then on. */
function learning(masker: Masker, reads: ParseReads): ParseReads {
  return async (job, read, signal) => {
    const answer = await reads(job, read, signal);
    masker.addRead(read.type === 'get_connection' ? 'connections' : 'variables', answer.value);
    return answer;
  };
}

/** What people are shown of a parse, masked before anything of it is cut. The Dags themselves are data, and stay. */
function shown(masker: Masker, end: ParseEnd): ParseEnd {
  const { report } = end;
  return {
    ...end,
    stderr: masker.maskCut(end.stderr),
    output: masker.maskCut(end.output),
    report: report && {
      ...report,
      import_error: masker.maskTexts(report.import_error) as typeof report.import_error,
      warnings: masker.maskTexts(report.warnings) as typeof report.warnings,
      dag_warnings: masker.maskTexts(report.dag_warnings) as typeof report.dag_warnings,
    },
  };
}

function fromEnd(file: string, end: ParseEnd, timeoutMs: number): ParsedFile {
  const { report, source } = end;
  if (report === null) return { ...failed(explain(file, end, timeoutMs), end.inputs, end.output), source };
  const problem = report.import_error;
  return {
    dags: report.dags,
    moduleCode: null,
    bundled: end.inputs !== null,
    inputs: end.inputs ?? [],
    source,
    // As Airflow shows it: the traceback, and nothing around it.
    importError: problem && (problem.stack || plainImportError(file, problem.message, problem.hint)),
    warnings: report.warnings,
    dagWarnings: report.dag_warnings ?? [],
    timetables: problem ? {} : (report.timetables ?? {}),
    output: end.output,
  };
}

function explain(file: string, { late, broken, exit, stderr }: ParseEnd, timeoutMs: number): string {
  if (late) {
    const text = `Parsing took longer than ${timeoutMs / 1000} s and was stopped.`;
    return plainImportError(
      file,
      text,
      'Look for an endless loop or a wait outside of a task; [core] dagbag_import_timeout is the limit.',
    );
  }
  if (broken !== null) {
    const text = `The parser sent something that is no report: ${broken}.`;
    return plainImportError(file, text, 'A Dag file must not write to descriptor 3.');
  }
  const how = exit.signal === null ? `status ${exit.code}` : `signal ${exit.signal}`;
  const text = `The Python process ended with ${how} before it could report.`;
  return plainImportError(
    file,
    text,
    'See what it printed, below; [sandbox] memory_limit_mb bounds its memory.',
    stderr.slice(-4000),
  );
}
