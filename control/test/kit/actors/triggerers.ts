/** Triggerers that ask for what is to be waited for, die with all that they wait for, and speak afterwards. */
import { endSupervisor } from '@airlock/store/queries/supervisor/manage';
import { touchSupervisor } from '@airlock/store/queries/supervisor/register';
import { type ClaimedTrigger, claimTriggers, findLostTriggers } from '@airlock/store/queries/trigger/sync';
import { endTrigger } from '../../../src/runs/index.ts';
import type { World } from '../world.ts';
import { type ActorOptions, byName, chosen, joinSupervisor, MAX_RETRY_DELAY_SECONDS, SILENCE_MS } from './common.ts';

type Waiting = { readonly supervisorId: string; readonly trigger: ClaimedTrigger };
type Triggerer = { readonly supervisorId: string; waiting: Waiting[] };

const nameOf = ({ trigger: t, supervisorId }: Waiting) =>
  `${t.dag_id} ${t.run_id} ${t.task_id} ${t.map_index} ${t.id} ${supervisorId}`;

/** Two of them, each replaced when it dies. */
export class Triggerers {
  deaths = 0;
  readonly #world: World;
  readonly #options: ActorOptions;
  readonly #triggerers: Triggerer[] = [];
  /** Triggers of the dead. */
  #ghosts: Waiting[] = [];
  /** Outcomes that counted. */
  readonly #fired: Waiting[] = [];

  constructor(world: World, options: ActorOptions) {
    this.#world = world;
    this.#options = options;
  }

  async join(): Promise<void> {
    for (let n = 0; n < 2; n++) this.#triggerers.push(await this.#newTriggerer());
  }

  async #newTriggerer(): Promise<Triggerer> {
    return { supervisorId: await joinSupervisor(this.#world, 'trigger'), waiting: [] };
  }

  isBusy(): boolean {
    return this.#triggerers.some(({ waiting }) => waiting.length > 0);
  }

  async beat(): Promise<void> {
    const { db, clock } = this.#world;
    for (const { supervisorId } of this.#triggerers)
      await touchSupervisor(db, { id: supervisorId, nowIso: clock.iso() });
  }

  /** A triggerer says what it runs, and is given what is free. */
  async sync(n: number): Promise<void> {
    const { db, clock } = this.#world;
    const triggerer = this.#triggerers[n % 2]!;
    const { supervisorId } = triggerer;
    const holds = triggerer.waiting.map(({ trigger }) => trigger.id);
    const lost = new Set((await findLostTriggers(db, { supervisorId, holds })).map(({ id }) => id));
    triggerer.waiting = triggerer.waiting.filter(({ trigger }) => !lost.has(trigger.id));
    const given = await claimTriggers(db, {
      supervisorId,
      holds,
      limit: 100,
      queues: null,
      seenBeforeIso: new Date(clock.nowMs() - SILENCE_MS).toISOString(),
      nowIso: clock.iso(),
    });
    triggerer.waiting.push(...given.map((trigger) => ({ supervisorId, trigger })));
  }

  /** A trigger has its event. `late`: the triggerer was given up for dead. */
  async fire(which: number, late = false): Promise<void> {
    const all = late ? this.#ghosts : this.#triggerers.flatMap(({ waiting }) => waiting);
    const found = chosen(byName(all, nameOf), which);
    if (!found) return;
    this.#ghosts = this.#ghosts.filter((one) => one !== found);
    for (const triggerer of this.#triggerers) triggerer.waiting = triggerer.waiting.filter((one) => one !== found);
    if (!(await this.#fire(found))) return;
    if (this.#fired.some(({ trigger }) => trigger.id === found.trigger.id))
      throw new Error('a trigger ended its wait twice');
    this.#fired.push(found);
  }

  /** @throws Error when an outcome that was told before counts again */
  async fireAgain(which: number): Promise<void> {
    const past = chosen(this.#fired, which);
    if (past && (await this.#fire(past))) throw new Error('an outcome of a trigger counted twice');
  }

  #fire({ supervisorId, trigger }: Waiting): Promise<boolean> {
    const { db, clock } = this.#world;
    const { dag_id: dagId, run_id: runId, task_id: taskId, map_index: mapIndex, try_number: tryNumber } = trigger;
    const word = this.#options.outcomes.ofTrigger({ dagId, runId, taskId, mapIndex, tryNumber });
    return db.transaction((tx) =>
      endTrigger(tx, {
        triggerId: trigger.id,
        supervisorId,
        outcome:
          word === 'event'
            ? { kind: 'event', payload: '1' }
            : word === 'failure'
              ? { kind: 'failure', traceback: [] }
              : { kind: 'end', state: word, xcoms: {} },
        nowIso: clock.iso(),
        maxRetryDelaySeconds: MAX_RETRY_DELAY_SECONDS,
      }),
    );
  }

  /** @param known its successor says at once that it is dead; else its silence tells */
  async kill(n: number, known: boolean): Promise<void> {
    const { db, clock } = this.#world;
    const { supervisorId, waiting } = this.#triggerers[n % 2]!;
    this.deaths++;
    this.#ghosts.push(...waiting);
    this.#triggerers[n % 2] = await this.#newTriggerer();
    if (known) await endSupervisor(db, { id: supervisorId, nowIso: clock.iso() });
  }
}
