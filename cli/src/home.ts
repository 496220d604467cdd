/** Where this user's Airlock lives; the same rule as every other process. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** `$AIRLOCK_HOME`; without it `~/airlock`, and `/var/lib/airlock` for root. */
export function airlockHome(env: NodeJS.ProcessEnv, uid: number | undefined): string {
  if (env.AIRLOCK_HOME) return resolve(env.AIRLOCK_HOME.replace(/^~(?=\/|$)/, homedir()));
  return uid === 0 ? '/var/lib/airlock' : join(homedir(), 'airlock');
}

export const controlSocket = (home: string): string => join(home, 'run', 'control.sock');
