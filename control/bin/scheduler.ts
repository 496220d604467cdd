/** The scheduler alone; any number of them may run at once. */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runControl } = await import('../src/main.ts');
await runControl(['scheduler']);
