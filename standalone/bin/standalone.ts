/** `airlock standalone`: everything in one command. */
import { runStandalone } from '../src/main.ts';

process.exitCode = await runStandalone({
  env: process.env,
  nowMs: () => Date.now(),
  write: (text) => process.stdout.write(text),
  terminal: process.stdout.isTTY === true,
});
process.exit();
