/**
 * The process control: API server, scheduler or both (`--role=api`, `--role=scheduler`; both without one).
 * Its memory is closed to other processes of its user before it is told anything: it will hold the database's password.
 */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runControl } = await import('../src/main.ts');
const named = process.argv.flatMap((word) => /^--role=(api|scheduler)$/.exec(word)?.[1] ?? []) as Array<
  'api' | 'scheduler'
>;
await runControl(named.length > 0 ? named : ['api', 'scheduler']);
