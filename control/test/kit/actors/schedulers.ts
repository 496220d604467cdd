/** Schedulers that hear events as index.ts does, and die between two of their statements. */
import { type Database, decodeEvent, EVENT_CHANNEL, openDatabase, sql } from '@airlock/store';
import type { SchedulerCore } from '../../../src/scheduler/core.ts';
import { type MortalDatabase, mortalDatabase } from '../mortal-database.ts';
import type { World } from '../world.ts';
import { type ActorOptions, MAX_RETRY_DELAY_SECONDS, SILENCE_MS } from './common.ts';

type Process = { readonly link: MortalDatabase; readonly core: SchedulerCore; needsResync: boolean };
/** `look`: as with a heartbeat; `sweep`: with what any one of them does for all. */
export type Round = 'events' | 'look' | 'sweep';

/** Two of them, each replaced when it dies. */
export class Schedulers implements AsyncDisposable {
  deaths = 0;
  readonly #world: World;
  readonly #options: ActorOptions;
  /** Each transaction has a connection of it for itself, so that a death breaks no other. */
  readonly #db: Database;
  readonly #processes: Process[] = [];
  #unlisten: () => Promise<void> = async () => undefined;
  #marker = 0;
  #heard = 0;
  #wake: () => void = () => undefined;

  constructor(world: World, options: ActorOptions) {
    this.#world = world;
    this.#options = options;
    const { url } = world;
    this.#db = openDatabase({ url, maxConnections: 4, applicationName: 'schedulers', onError: () => undefined });
    this.#processes.push(this.#start(), this.#start());
  }

  async listen(): Promise<void> {
    const hear = (payload: string) => this.#hear(payload);
    this.#unlisten = await this.#world.db.listen(EVENT_CHANNEL, hear, () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unlisten();
    await this.#db.close();
  }

  #start(): Process {
    const link = mortalDatabase(this.#db);
    const { parallelism } = this.#options;
    return { link, core: this.#world.newCore({ db: link, parallelism }), needsResync: true };
  }

  #hear(payload: string): void {
    const marker = /^marker (\d+)$/.exec(payload);
    if (marker) {
      this.#heard = Number(marker[1]);
      this.#wake();
      return;
    }
    const event = decodeEvent(payload);
    for (const process of this.#processes) {
      if (event?.kind === 'run') process.core.agenda.mark(event.dagRunId);
      if (event?.kind !== 'schedule') continue;
      process.core.agenda.wantStart();
      process.core.agenda.wantCreate();
      process.needsResync = true;
    }
  }

  /** Until every event of what was committed so far has been heard: PostgreSQL delivers them in the order of the commits. */
  async #listenUp(): Promise<void> {
    const marker = ++this.#marker;
    await this.#world.db.query(sql`SELECT pg_notify(${EVENT_CHANNEL}, ${`marker ${marker}`})`);
    while (this.#heard < marker) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** One process does what there is to do. */
  async #work(n: number, round: Round): Promise<void> {
    const process = this.#processes[n]!;
    try {
      if (process.needsResync) {
        await process.core.resync();
        process.needsResync = false;
      }
      if (round === 'look') await process.core.lookForOverdue();
      if (round === 'sweep')
        await process.core.sweep({
          availableSinceMs: 0,
          heartbeatTimeoutMs: 300_000,
          queueTimeoutMs: this.#options.queueTimeoutMs,
          supervisorTimeoutMs: SILENCE_MS,
          maxRetryDelaySeconds: MAX_RETRY_DELAY_SECONDS,
        });
      await process.core.settle();
    } catch (error) {
      if (!process.link.isDead()) throw error;
    }
    if (!process.link.isDead()) return;
    this.deaths++;
    this.#processes[n] = this.#start();
  }

  async work(n: number, round: Round = 'events'): Promise<void> {
    await this.#listenUp();
    await this.#work(n % 2, round);
  }

  /** Both at the same time. */
  async workTogether(): Promise<void> {
    await this.#listenUp();
    await Promise.all([this.#work(0, 'events'), this.#work(1, 'events')]);
  }

  /** One dies at one of its next statements. */
  doom(n: number, statements: number): void {
    this.#processes[n % 2]!.link.dieAfter(statements);
  }
}
