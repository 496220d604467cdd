/** The audit log: writing its chain to a file, and checking it, from such a file or from the server of this machine. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type ChainEnds,
  type ChainedEvent,
  createChainChecker,
  type LinkedEvent,
  type NotedHead,
  type Sha256,
} from '@airlock/contract/audit-chain';
import { Command, InvalidArgumentError } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';

/** What an export is made of, one a line: the ends, every linked row, and at last the rows that have no place yet. */
type Line =
  | { readonly ends: ChainEnds }
  | { readonly row: LinkedEvent }
  | { readonly unlinked: readonly ChainedEvent[] };
type Page = {
  readonly ends: ChainEnds;
  readonly rows: readonly LinkedEvent[];
  readonly unlinked: readonly ChainedEvent[];
};

const sha256: Sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** The chain up to its head at the first question; what is linked meanwhile belongs to the next check. */
async function* fromServer(context: Context): AsyncGenerator<Line> {
  const client = context.client();
  const ask = (after: number) => client.json<Page>('GET', `/local/audit?after=${after}`);
  let page = await ask(0);
  const { ends, unlinked } = page;
  yield { ends };
  for (let after = ends.base_seq; page.rows.length > 0; page = await ask(after)) {
    for (const row of page.rows) {
      if (row.seq <= ends.head_seq) yield { row };
      after = row.seq;
    }
    if (after >= ends.head_seq) break;
  }
  yield { unlinked };
}

async function* fromFile(path: string): AsyncGenerator<Line> {
  const input = createReadStream(path);
  // Without a listener a file that is not there would end the process with a stack.
  const opened = new Promise<void>((resolve, reject) => input.once('open', () => resolve()).once('error', reject));
  await opened.catch((cause: NodeJS.ErrnoException) => {
    throw new CliError(EXIT_CODES.notFound, `${path}: ${cause.message}`, null, { cause });
  });
  let n = 0;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    n++;
    try {
      const line: unknown = JSON.parse(text);
      if (typeof line !== 'object' || line === null) throw new TypeError('no object');
      yield line as Line;
    } catch (cause) {
      throw new CliError(EXIT_CODES.failed, `${path}: line ${n} is no line of an export`, null, { cause });
    }
  }
}

function parseNoted(text: string): NotedHead {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (!seq || !hash) throw new InvalidArgumentError('it has the form NUMBER:HASH, as audit verify prints it.');
  return { seq: Number(seq), hash };
}

async function verify(context: Context, file: string | undefined, noted: NotedHead | null): Promise<void> {
  let checker: ReturnType<typeof createChainChecker> | null = null;
  let unlinked: readonly ChainedEvent[] | null = null;
  for await (const line of file === undefined ? fromServer(context) : fromFile(file)) {
    if ('ends' in line) checker = createChainChecker(sha256, line.ends, noted);
    else if ('row' in line) checker?.add(line.row);
    else unlinked = line.unlinked;
  }
  if (!checker || !unlinked) {
    throw new CliError(EXIT_CODES.failed, `${file ?? 'the server'}: the export has no beginning or no end`);
  }
  const { rows, head, problem } = checker.finish();
  if (unlinked.length > 0) {
    const ids = unlinked.map((row) => row.id);
    context.output.note(
      `not linked yet: ${unlinked.length} rows, events ${ids[0]} to ${ids.at(-1)}, the oldest of ${unlinked[0]!.at}`,
    );
  }
  if (problem !== null) throw new CliError(EXIT_CODES.failed, `the audit log is broken: ${problem}`);
  context.output.line(`${rows} rows, each with its hash. The head is`);
  context.output.line(`${head.seq}:${head.hash}`);
}

export function auditCommand(context: Context): Command {
  const audit = new Command('audit').description(
    "the audit log as a chain of hashes (on the server's own machine, as its user or root)",
  );
  audit
    .command('export')
    .description('the whole log with its hashes, a JSON object a line, on standard output')
    .action(async () => {
      for await (const line of fromServer(context)) context.output.line(JSON.stringify(line));
    });
  audit
    .command('verify [file]')
    .description('check every hash, of an export or else of the log itself, and print the head: note it elsewhere')
    .option('--noted <head>', 'a head that was noted earlier, NUMBER:HASH; it must be part of the chain', parseNoted)
    .action((file: string | undefined, options: { noted?: NotedHead }) => verify(context, file, options.noted ?? null));
  return audit;
}
