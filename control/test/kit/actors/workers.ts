/** Workers that go through every statement of the Execution API, die with all that they hold, and speak afterwards. */
import { sql } from '@airlock/store';
import { endSupervisor } from '@airlock/store/queries/supervisor/manage';
import { touchSupervisor } from '@airlock/store/queries/supervisor/register';
import { claimQueued } from '@airlock/store/queries/task-instance/claim';
import { finishTask } from '@airlock/store/queries/task-instance/finish';
import { lockCaller, wasReported } from '@airlock/store/queries/task-instance/report-retry';
import { rescheduleTask } from '@airlock/store/queries/task-instance/reschedule';
import { startTask } from '@airlock/store/queries/task-instance/start';
import { deferTask } from '@airlock/store/queries/trigger/defer';
import { putXComsOf } from '@airlock/store/queries/xcom/write';
import { mayRetry } from '../../../src/domain/retries.ts';
import { endRestart, failTry, reapMissingTries, releaseTriesOf } from '../../../src/runs/index.ts';
import type { Attempt } from '../random-dags.ts';
import type { World } from '../world.ts';
import { type ActorOptions, byName, chosen, joinSupervisor, newJti } from './common.ts';

const POKE_SECONDS = 60;

/** Workload that a worker was given and has not started. */
type Claim = {
  readonly id: string;
  readonly jti: string;
  readonly attempt: Omit<Attempt, 'maxTries' | 'pokes' | 'method'>;
};
/** A try that a worker runs, or believes to run. */
type Running = { readonly id: string; readonly jti: string; readonly dagRunId: number; readonly attempt: Attempt };
type Worker = { readonly supervisorId: string; claims: Claim[]; running: Running[] };

const nameOf = ({ dagId, runId, taskId, mapIndex, tryNumber }: Claim['attempt']) =>
  `${dagId} ${runId} ${taskId} ${String(mapIndex).padStart(4)} ${tryNumber}`;

/** Two of them, each replaced when it dies. */
export class Workers {
  readonly counts = { accepted: 0, refused: 0, repeated: 0, deaths: 0 };
  readonly #world: World;
  readonly #options: ActorOptions;
  readonly #workers: Worker[] = [];
  /** Tries of the dead, and those that were taken away: what is said of them later may count, once, or not at all. */
  #ghosts: Running[] = [];
  /** Reports that were accepted. */
  readonly #reported: Array<{ readonly of: Running; readonly state: string }> = [];

  constructor(world: World, options: ActorOptions) {
    this.#world = world;
    this.#options = options;
  }

  async join(): Promise<void> {
    for (let n = 0; n < 2; n++) this.#workers.push(await this.#newWorker());
  }

  async #newWorker(): Promise<Worker> {
    return { supervisorId: await joinSupervisor(this.#world, 'worker'), claims: [], running: [] };
  }

  isBusy(): boolean {
    return this.#workers.some(({ running }) => running.length > 0);
  }

  /** What they say of themselves; a claim whose answer was lost comes to light by it. */
  async beat(): Promise<void> {
    const { db, clock } = this.#world;
    const nowIso = clock.iso();
    for (const worker of this.#workers) {
      const { supervisorId } = worker;
      await touchSupervisor(db, { id: supervisorId, nowIso });
      const ids = worker.running.map(({ id }) => id);
      await db.query(
        sql`UPDATE task_instance SET last_heartbeat_at = ${nowIso}::timestamptz WHERE id = ANY(${ids}::uuid[]) AND state = 'running'`,
      );
      const holds = [...ids, ...worker.claims.map(({ id }) => id)];
      await reapMissingTries(db, { supervisorId, holds, nowIso });
      await this.#dropLost(worker);
    }
  }

  /** A worker ends the processes of tries that are not its own any more, and says so. */
  async #dropLost(worker: Worker): Promise<void> {
    const { db, clock } = this.#world;
    const rows = await db.query<{ jti: string }>(
      sql`SELECT execution_jti AS jti FROM task_instance WHERE supervisor_id = ${worker.supervisorId}::uuid AND state = 'running'`,
    );
    const live = new Set(rows.map(({ jti }) => jti));
    for (const lost of worker.running.filter(({ jti }) => !live.has(jti))) {
      this.#ghosts.push(lost);
      await db.transaction((tx) =>
        endRestart(tx, { oldTryId: lost.id, supervisorId: worker.supervisorId, nowIso: clock.iso() }),
      );
    }
    worker.running = worker.running.filter(({ jti }) => live.has(jti));
  }

  /** Takes all that is queued. `lost`: the answer does not arrive. */
  async claim(n: number, lost = false): Promise<void> {
    const { db, clock } = this.#world;
    const worker = this.#workers[n % 2]!;
    const rows = await claimQueued(db, {
      supervisorId: worker.supervisorId,
      queues: null,
      jtis: Array.from({ length: 100 }, newJti),
      nowIso: clock.iso(),
    });
    if (lost) return;
    worker.claims.push(
      ...rows.map((row) => ({
        id: row.id,
        jti: row.workload_jti,
        attempt: {
          dagId: row.dag_id,
          runId: row.run_id,
          taskId: row.task_id,
          mapIndex: row.map_index,
          tryNumber: row.try_number,
        },
      })),
    );
  }

  /** Starts so many of what the worker has claimed. */
  async start(n: number, limit = Number.POSITIVE_INFINITY): Promise<void> {
    const { db, clock } = this.#world;
    const worker = this.#workers[n % 2]!;
    const claims = byName(worker.claims, ({ attempt }) => nameOf(attempt));
    worker.claims = claims.slice(limit);
    for (const { id, jti, attempt } of claims.slice(0, limit)) {
      const executionJti = newJti();
      const row = await startTask(db, {
        id,
        jti,
        kind: 'workload',
        adopts: false,
        processKey: worker.supervisorId,
        hostname: 'host',
        unixname: 'test',
        pid: 1,
        startDate: clock.iso(),
        nowIso: clock.iso(),
        repeatableSinceIso: clock.iso(),
        executionJti,
        graceSeconds: 60,
        maxStretchSeconds: 1e7,
      });
      if (row?.outcome !== 'start') continue; // taken back, cleared, or ended meanwhile
      const { max_tries: maxTries, reschedule_count: pokes, next_method: method, dag_run_id: dagRunId } = row;
      worker.running.push({ id, jti: executionJti, dagRunId, attempt: { ...attempt, maxTries, pokes, method } });
    }
  }

  /** One of the tries that run comes to its end, and its worker reports it. */
  async report(which: number): Promise<void> {
    const all = byName(
      this.#workers.flatMap((worker) => worker.running.map((running) => ({ worker, running }))),
      ({ running }) => nameOf(running.attempt),
    );
    const found = chosen(all, which);
    if (!found) return;
    found.worker.running = found.worker.running.filter((running) => running !== found.running);
    await this.#say(found.running);
  }

  /** A process that was given up for dead speaks after all. */
  async reportLate(which: number): Promise<void> {
    const ghost = chosen(
      byName(this.#ghosts, ({ attempt, jti }) => `${nameOf(attempt)} ${attempt.tryNumber} ${jti}`),
      which,
    );
    if (!ghost) return;
    this.#ghosts = this.#ghosts.filter((one) => one !== ghost);
    await this.#say(ghost);
  }

  /** The same report again, as when its answer was lost. @throws Error when it changes anything */
  async reportAgain(which: number): Promise<void> {
    const past = chosen(this.#reported, which);
    if (!past) return;
    if (await this.#apply(past.of)) throw new Error(`a second report of ${nameOf(past.of.attempt)} was accepted`);
    const key = { id: past.of.id, jti: past.of.jti, nowIso: this.#world.clock.iso() };
    if (await wasReported(this.#world.db, key, past.state)) this.counts.repeated++;
  }

  async #say(running: Running): Promise<void> {
    const state = await this.#apply(running);
    if (state === null) {
      this.counts.refused++;
      return;
    }
    this.counts.accepted++;
    if (this.#reported.some(({ of }) => of.jti === running.jti)) throw new Error('one stretch was ended twice');
    this.#reported.push({ of: running, state });
  }

  /** @returns the state that was reported; null = nothing was changed */
  async #apply({ id, jti, dagRunId, attempt }: Running): Promise<string | null> {
    const { db, clock } = this.#world;
    const nowIso = clock.iso();
    const key = { id, jti, nowIso };
    const outcome = this.#options.outcomes.of(attempt);
    const state = outcome.kind;
    if (state === 'fail') {
      const retry = !outcome.forGood && mayRetry(attempt.tryNumber, attempt.maxTries);
      const ended = await db.transaction(async (tx) => {
        const row = await lockCaller(tx, key);
        if (!row?.live) return null;
        return failTry(tx, { id, reason: 'test', nowIso, endDate: nowIso, retry, from: ['running'] });
      });
      return ended?.state ?? null;
    }
    if (state === 'defer') {
      const { triggerSeconds } = this.#options;
      const row = await deferTask(db, {
        ...key,
        classpath: 'test',
        kwargs: '{}',
        encrypted: false,
        queue: null,
        nextMethod: 'resume',
        nextKwargs: '{}',
        timeoutAt: triggerSeconds === null ? null : new Date(clock.nowMs() + triggerSeconds * 1000).toISOString(),
      });
      return row?.finished ? 'deferred' : null;
    }
    if (state === 'poke') {
      const rescheduleDate = new Date(clock.nowMs() + POKE_SECONDS * 1000).toISOString();
      const row = await rescheduleTask(db, { ...key, endDate: nowIso, rescheduleDate });
      return row?.finished ? 'up_for_reschedule' : null;
    }
    return await db.transaction(async (tx) => {
      const row = await finishTask(tx, { ...key, state, endDate: nowIso, renderedMapIndex: null });
      if (!row?.finished) return null;
      if (outcome.kind === 'success' && outcome.length !== undefined)
        await tx.query(sql`INSERT INTO task_map (dag_run_id, task_id, map_index, length)
          VALUES (${dagRunId}, ${attempt.taskId}, ${attempt.mapIndex}, ${outcome.length})
          ON CONFLICT (dag_run_id, task_id, map_index) DO UPDATE SET length = EXCLUDED.length`);
      if (outcome.kind === 'success' && outcome.followed !== undefined)
        await putXComsOf(tx, row, { skipmixin_key: JSON.stringify({ followed: outcome.followed }) }, nowIso);
      return state;
    });
  }

  /** @param known its successor says at once that it is dead, as under standalone; else its silence tells */
  async kill(n: number, known: boolean): Promise<void> {
    const { db, clock } = this.#world;
    const { supervisorId, running } = this.#workers[n % 2]!;
    this.counts.deaths++;
    this.#ghosts.push(...running);
    this.#workers[n % 2] = await this.#newWorker();
    if (!known) return;
    await db.transaction(async (tx) => {
      await endSupervisor(tx, { id: supervisorId, nowIso: clock.iso() });
      await releaseTriesOf(tx, { supervisorId, nowIso: clock.iso() });
    });
  }
}
