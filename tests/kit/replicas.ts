/**
 * Several API servers as an operator runs them by hand: processes of their own with a data folder of their own, one database
 * (a clone of the migrated template) and one token service.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { openKeyFolder } from '../../token-sign/src/index.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { service } from './service.ts';
import { tempHome } from './temp-home.ts';

export type Replica = {
  /** http://127.0.0.1:PORT; another port after each start. */
  readonly url: () => string;
  readonly pid: () => number;
  /** What it wrote since its last start, both streams. */
  readonly output: () => string;
  /** SIGTERM, waits for the end, and starts it anew on another port. */
  readonly restart: () => Promise<void>;
  /** SIGTERM, and waits for the end. */
  readonly stop: () => Promise<void>;
};
export type Replicas = {
  readonly replicas: readonly Replica[];
  readonly database: TestDatabase;
  /** Of the token service; processes of our user may ask there. */
  readonly tokenSocket: string;
  /** The folder that holds everything, gone at the end. */
  readonly home: string;
  /** Makes the data folder of a further process on the same database. @returns its environment */
  readonly environmentOf: (name: string) => Record<string, string>;
} & AsyncDisposable;

export type ReplicasOptions = {
  /** Default 3. */
  readonly count?: number;
  /** Further environment of the API servers: `AIRLOCK__SECTION__KEY`. */
  readonly env?: Readonly<Record<string, string>>;
};

/** @throws Error with everything that a process wrote, when it does not become ready */
export async function startReplicas(options: ReplicasOptions = {}): Promise<Replicas> {
  const home = tempHome();
  const database = await testDatabase();
  const down: Array<() => unknown> = [() => home[Symbol.dispose](), () => database.close()];
  const dispose = async () => {
    for (const step of down.splice(0).reverse()) await step();
  };
  try {
    const common = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: home.path, ...options.env };
    openKeyFolder({ folder: join(home.path, 'keys/signing'), generate: true, nowMs: Date.now, warn: console.error });
    const signer = service('token-sign/bin/token-service.ts', [], /^token-service is ready/m, {
      ...common,
      AIRLOCK_HOME: home.path,
    });
    down.push(() => signer.stop());
    await signer.start();
    const tokenFolder = join(home.path, 'run/token');
    const fernetKey = randomBytes(32).toString('base64url');
    const environmentOf = (name: string): Record<string, string> => {
      const own = join(home.path, name);
      mkdirSync(join(own, 'run'), { recursive: true });
      symlinkSync(tokenFolder, join(own, 'run/token'));
      return {
        ...common,
        AIRLOCK_HOME: own,
        AIRLOCK_DATABASE_URL: database.url,
        AIRLOCK__CORE__FERNET_KEY: fernetKey,
        AIRLOCK__CORE__DAGS_FOLDER: join(home.path, 'dags'),
        AIRLOCK__LOGGING__BASE_LOG_FOLDER: join(home.path, 'logs'),
        AIRLOCK__API__PORT: '0',
      };
    };
    const replicas = Array.from({ length: options.count ?? 3 }, (_, number) => {
      const sign = /^Airlock API server: (\S+)$/m;
      const process = service('control/bin/control.ts', ['--role=api'], sign, environmentOf(`api-${number + 1}`));
      down.push(() => process.stop());
      return process;
    });
    await Promise.all(replicas.map((replica) => replica.start()));
    const shown = replicas.map(
      ({ pid, output, start, stop, ready }): Replica => ({
        url: () => ready()[1]!,
        pid,
        output,
        stop,
        restart: async () => {
          await stop();
          await start();
        },
      }),
    );
    return {
      replicas: shown,
      database,
      tokenSocket: join(tokenFolder, 'token.sock'),
      home: home.path,
      environmentOf,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
