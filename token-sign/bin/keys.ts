/**
 * `airlock keys list|rotate|retire` while no server runs: the same changes, on the files. Reads private keys only to name them.
 * Its memory is closed to other processes of its user before the first key is read.
 */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runKeys } = await import('../src/keys-main.ts');
process.exitCode = await runKeys(process.argv.slice(2), process.env);
