/**
 * `airlock standalone`: everything in one command. Its memory and environment are closed to other processes of its user at
 * once: both may hold the administrator's password and the address of the database.
 */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runStandalone } = await import('../src/main.ts');
// Whoever read our output may go, and we do not end with them.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
process.exitCode = await runStandalone({
  env: process.env,
  nowMs: () => Date.now(),
  write: (text) => process.stdout.write(text),
  terminal: process.stdout.isTTY === true,
});
process.exit();
