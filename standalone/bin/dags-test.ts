/** `airlock dags test FILE`: tries a Dag file in a throw-away Airlock. As guarded as the standalone that it starts. */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runDagsTest } = await import('../src/dags-test.ts');
process.exitCode = await runDagsTest(process.argv.slice(2), process.env, () => Date.now());
process.exit();
