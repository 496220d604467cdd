/** Stands in for supervisor: starts a process that would outlive it, and says what it was given. */
import { spawn } from 'node:child_process';
import { receiveHandover } from '@airlock/proc/handover';

const handover = await receiveHandover('supervisor');
const stubborn = spawn('/bin/sh', ['-c', 'trap "" TERM INT HUP; while :; do sleep 1; done'], {
  detached: true,
  stdio: 'ignore',
});
console.log(
  JSON.stringify({ level: 30, msg: `values ${JSON.stringify(handover.values)} env ${JSON.stringify(process.env)}` }),
);
handover.onStop(() => process.exit(0));
handover.ready({ stubborn: stubborn.pid });
