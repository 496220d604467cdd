/** Why a Dag file could not be parsed, as the author will read it. */
import type { ParseOutcome } from '@airlock/contract/ipc/runner';
import { DagError } from '../author/dag-error.ts';
import { describeThrown, positionOf } from '../runner/stack.ts';

export type ImportProblem = NonNullable<ParseOutcome['import_error']>;

/** Ends a parse with a problem that is described already. */
export class ParseProblem extends Error {
  readonly problem: ImportProblem;
  constructor(problem: ImportProblem) {
    super(problem.message);
    this.name = 'ParseProblem';
    this.problem = problem;
  }
}

const NETWORK_CODES = new Set([
  'EAI_AGAIN',
  'ENOTFOUND',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ETIMEDOUT',
  'EAFNOSUPPORT',
]);
const FILE_CODES = new Set(['ENOENT', 'EACCES', 'EPERM', 'EROFS']);

/** Describes whatever was thrown while the file was imported or its Dags were built. */
export function problemOfThrown(thrown: unknown, file: string): ImportProblem {
  if (thrown instanceof ParseProblem) return thrown.problem;
  const text = describeThrown(thrown);
  const stack = thrown instanceof Error ? (thrown.stack ?? '') : '';
  const place = positionOf(stack);
  const known = thrown instanceof DagError;
  return {
    message: known
      ? thrown.message
      : text.name === 'Thrown'
        ? `The file threw ${text.message}`
        : `${text.name}: ${text.message}`,
    file: place?.file ?? file,
    line: place?.line ?? null,
    column: place?.column ?? null,
    hint: known ? thrown.hint : hintOfThrown(thrown),
    stack: text.stack,
  };
}

function hintOfThrown(thrown: unknown): string {
  const code = codeOf(thrown);
  if (code !== null && NETWORK_CODES.has(code)) {
    return 'Dag files are parsed without network. Move this into the run of a task.';
  }
  if (code !== null && FILE_CODES.has(code)) {
    return 'Dag files are parsed in a sandbox that shows the bundle only, read-only. Move this into the run of a task, or import the file.';
  }
  return 'Code outside of run is executed when the file is parsed. Move what can fail into the run of a task.';
}

/** Node wraps network errors in others; the code is somewhere on the way. */
function codeOf(thrown: unknown): string | null {
  for (let at = thrown, depth = 0; typeof at === 'object' && at !== null && depth < 5; depth++) {
    const { code, cause } = at as { code?: unknown; cause?: unknown };
    if (typeof code === 'string' && (NETWORK_CODES.has(code) || FILE_CODES.has(code))) return code;
    at = cause;
  }
  return null;
}
