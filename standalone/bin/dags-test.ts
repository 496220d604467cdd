/** `airlock dags test FILE`: tries a Dag file in a throw-away Airlock. */
import { runDagsTest } from '../src/dags-test.ts';

process.exitCode = await runDagsTest(process.argv.slice(2), process.env, () => Date.now());
process.exit();
