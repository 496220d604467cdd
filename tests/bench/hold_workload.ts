/** A `[workers] command`: writes the workload that it is given to a file of its own in $BENCH_CAPTURE, then waits until it is killed. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.BENCH_CAPTURE;
if (!folder) throw new Error('BENCH_CAPTURE is not set');
const workload = readFileSync(0, 'utf8');
writeFileSync(join(folder, `draft-${process.pid}`), workload);
renameSync(join(folder, `draft-${process.pid}`), join(folder, `workload-${process.pid}.json`));
setInterval(() => undefined, 60_000);
