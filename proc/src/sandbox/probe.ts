/** Entry of the tier probe: says `restricted` when a file that its parent's user can read is out of reach. */
import { readFileSync } from 'node:fs';

let outcome = 'restricted';
try {
  readFileSync(String(process.env.AIRLOCK_PROBE_CANARY));
  outcome = 'the canary was readable';
} catch {
  // refused, as it should be
}
process.stdout.write(outcome);
