/**
 * What `tools/test/run.ts` shows of a part: failures as they happen, with their place; then one line for the machine.
 * A test that passes is not news, but for the figures that it prints with `t.diagnostic`.
 */
import type { TestEvent } from 'node:test/reporters';

/** Opens the last line, which the runner reads and does not print. */
export const COUNTS_MARK = '#counts ';
export type Counts = {
  passed: number;
  failed: number;
  skipped: number;
  skippedBecause: string[];
  /** What each test file took, start and end of its process included. */
  files: Array<{ readonly file: string; readonly seconds: number }>;
};

/** Of nothing. */
export const noCounts = (): Counts => ({ passed: 0, failed: 0, skipped: 0, skippedBecause: [], files: [] });

type Data = {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string;
  readonly line?: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly message?: string;
  readonly duration_ms?: number;
  readonly details?: { readonly type?: string; readonly error?: Error & { cause?: unknown; failureType?: string } };
};

function describeError(error: (Error & { cause?: unknown }) | undefined): string {
  const cause = error?.cause ?? error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return text.replace(/^/gm, '    ');
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts = noCounts();
  for await (const event of source) {
    const data = event.data as Data;
    if (event.type === 'test:pass' && data.details?.type !== 'suite') {
      if (data.skip === undefined && data.todo === undefined) counts.passed++;
      else {
        counts.skipped++;
        counts.skippedBecause.push(typeof data.skip === 'string' ? data.skip : data.name);
      }
    } else if (event.type === 'test:fail') {
      // A suite or file that fails only because of a test inside it was reported with that test.
      if (data.details?.error?.failureType === 'subtestsFailed') continue;
      counts.failed++;
      const place = data.file === undefined ? '' : ` (${data.file}${data.line === undefined ? '' : `:${data.line}`})`;
      yield `  FAILED ${data.name}${place}\n${describeError(data.details?.error)}\n`;
    } else if (event.type === 'test:diagnostic' && data.file !== undefined && data.line !== undefined) {
      // A figure that a test prints; the runner's own counts have no place.
      yield `  ${data.message}\n`;
    } else if (event.type === 'test:summary' && data.file !== undefined) {
      counts.files.push({ file: data.file, seconds: (data.duration_ms ?? 0) / 1000 });
    } else if (event.type === 'test:stderr' || event.type === 'test:stdout') {
      yield data.message ?? '';
    }
  }
  yield `\n${COUNTS_MARK}${JSON.stringify(counts)}\n`;
}
