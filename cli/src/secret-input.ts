/** Passwords come from a terminal without an echo, or from standard input; never from an argument, which every user of the machine can read. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Context } from './context.ts';
import { CliError, EXIT_CODES } from './exit-codes.ts';

/** One line, without its line break. @throws CliError when there is no terminal to ask on, or nothing was given */
export async function readSecretLine(context: Context, prompt: string, fromStdin: boolean): Promise<string> {
  if (!fromStdin && context.stdin.isTTY !== true) {
    throw new CliError(
      EXIT_CODES.usage,
      'there is no terminal to ask for the password',
      'Give it on standard input with --password-stdin.',
    );
  }
  const muted = new Writable({ write: (_chunk, _encoding, done) => done() });
  if (!fromStdin) process.stderr.write(prompt);
  const lines = createInterface({ input: context.stdin, output: muted, terminal: !fromStdin });
  try {
    for await (const line of lines) {
      if (line === '') break;
      return line;
    }
  } finally {
    lines.close();
    if (!fromStdin) process.stderr.write('\n');
  }
  throw new CliError(EXIT_CODES.usage, 'the password is empty');
}
