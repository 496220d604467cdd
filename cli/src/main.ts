/** Entry of every command that is not a process of its own. Reads the environment once. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@airlock/contract/errors';
import { CommanderError } from 'commander';
import { createClient, targetOf } from './client.ts';
import type { Context } from './context.ts';
import { CliError, EXIT_CODES } from './exit-codes.ts';
import { airlockHome, controlSocket } from './home.ts';
import { createOutput } from './output.ts';
import { createProgram, type GlobalOptions } from './program.ts';
import { findToken } from './token-store.ts';

const env = process.env;
const home = airlockHome(env, process.getuid?.());
const output = createOutput(process.stdout, process.stderr, env);
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  version: string;
};

let interrupt: (error: CliError) => void = () => undefined;
process.once('SIGINT', () => {
  interrupt(new CliError(EXIT_CODES.interrupted, 'interrupted; what was started on the server goes on'));
  // Outside a pause nothing listens: end at once, as a program without a handler would.
  setImmediate(() => process.exit(EXIT_CODES.interrupted));
});
// A reader that has seen enough (head, less) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT_CODES.ok : EXIT_CODES.failed),
);

const context: Context = {
  env,
  home,
  output,
  stdin: process.stdin,
  client: () => {
    const { url } = program.opts<GlobalOptions>();
    return createClient(targetOf(url, url === undefined ? null : findToken(env, url), controlSocket(home)));
  },
  becomeKeysTool: (words) => {
    const entry = join(import.meta.dirname, '../../token-sign/bin/keys.ts');
    process.removeAllListeners('warning').on('warning', () => undefined); // execve is experimental, and says so
    return process.execve!(process.execPath, [process.execPath, ...process.execArgv, entry, ...words], env);
  },
  nowMs: () => Date.now(),
  pause: (ms) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      interrupt = (error) => {
        clearTimeout(timer);
        reject(error);
      };
    }),
};
const program = createProgram(context, version);

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed its own message; asking for help or version is no mistake.
    return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  }
  if (error instanceof CliError) {
    output.note(`airlock: ${error.message}`);
    if (error.remedy) output.note(error.remedy);
    return error.exitCode;
  }
  if (error instanceof AppError) {
    output.note(`airlock: ${error.message} (${error.code})`);
    output.note(error.remedy);
    return EXIT_CODES.failed;
  }
  output.note(`airlock: unexpected: ${(error as Error)?.stack ?? String(error)}`);
  return EXIT_CODES.failed;
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
