/** A standalone around the fakes: the real PostgreSQL, the real migrate, the real life cycle. */
import { join } from 'node:path';
import { ENTRIES } from '../../src/entries.ts';
import { runStandalone } from '../../src/main.ts';

const at = (name: string) => join(import.meta.dirname, name);
process.exitCode = await runStandalone({
  env: process.env,
  nowMs: () => Date.now(),
  write: (text) => process.stdout.write(text),
  terminal: process.env.PRETEND_TERMINAL === '1',
  entries: {
    ...ENTRIES,
    tokenService: at('token-service.ts'),
    control: at('control.ts'),
    supervisor: at('supervisor.ts'),
  },
});
process.exit();
