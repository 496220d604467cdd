/** The API server alone; another host may run the scheduler. */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runControl } = await import('../src/main.ts');
await runControl(['api']);
