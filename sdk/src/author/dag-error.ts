/**
 * A mistake in a Dag file that the SDK can explain. The parser turns it into the file's import error, with the line of
 * the author's code that is nearest in the stack.
 */
export class DagError extends Error {
  /** What to do about it, one sentence. */
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.name = 'DagError';
    this.hint = hint;
  }
}

/** The value as it would stand in source code, cut to one short line. */
export function show(value: unknown): string {
  if (typeof value === 'function') return `the function ${value.name || '(anonymous)'}`;
  if (typeof value === 'bigint') return `${value}n`;
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
