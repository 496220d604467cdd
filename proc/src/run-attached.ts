/** Runs one of our own scripts in front of the person: our terminal and standard streams, an explicit environment. */
import { spawn } from 'node:child_process';
import { claim } from './own-pids.ts';

/** Resolves with its exit status; 128 + n when signal n ended it, 127 when it could not be started. Never rejects. */
export function runAttached(
  entry: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, ...args], {
      env,
      stdio: 'inherit',
    });
    claim(child);
    child.once('error', () => resolve(127));
    child.once('close', (code, signal) =>
      resolve(code ?? 128 + (signal === 'SIGINT' ? 2 : signal === 'SIGKILL' ? 9 : 15)),
    );
  });
}
