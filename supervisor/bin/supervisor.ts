/**
 * The process supervisor. Its memory is closed to other processes of its user before it is told anything: it will hold the
 * tokens of the tries that it hosts.
 */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runSupervisor } = await import('../src/run.ts');
await runSupervisor({ ...process.env });
