/** The text of an import error, as the API and the UI show it: place, message, hint, then what the stack adds. */
import type { ParseOutcome } from '@airlock/contract/ipc/runner';

type Problem = NonNullable<ParseOutcome['import_error']>;

const MAX_CHARACTERS = 20_000;

/** `file:line:column: message`, then the code or stack, then `Hint: …`. */
export function importErrorText(problem: Problem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== null && part !== '').join(':');
  const lines = [place === '' ? problem.message : `${place}: ${problem.message}`];
  if (problem.stack !== '') lines.push(problem.stack);
  lines.push(`Hint: ${problem.hint}`);
  return lines.join('\n').slice(0, MAX_CHARACTERS);
}

/** The same for what the parse child could not say itself. */
export function plainImportError(file: string, message: string, hint: string, output = ''): string {
  return importErrorText({ message, file, line: null, column: null, hint, stack: output });
}
