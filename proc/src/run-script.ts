/** Runs one of our own scripts to its end: explicit environment, nothing inherited but what it prints. */
import { spawn } from 'node:child_process';
import { claim } from './own-pids.ts';

export type ScriptRun = { readonly code: number | null; readonly output: string };

const MAX_OUTPUT = 16 * 1024;

/** @param timeoutMs then it is killed, and `code` is null. Never rejects. */
export function runScript(entry: string, args: readonly string[], timeoutMs: number): Promise<ScriptRun> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [entry, ...args], {
      cwd: '/',
      env: {},
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    claim(child);
    let output = '';
    const keep = (chunk: Buffer) => {
      if (output.length < MAX_OUTPUT) output += chunk.toString('utf8').slice(0, MAX_OUTPUT - output.length);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => resolve({ code: null, output: error.message }));
    child.once('close', (code) => resolve({ code, output }));
  });
}
