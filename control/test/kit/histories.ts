/** Random histories of an installation: what happens, in which order, and how it is performed. */
import { deepEqual } from 'node:assert/strict';
import { sql } from '@airlock/store';
import fc from 'fast-check';
import { clearTaskInstances, setDagRunState, setTaskInstanceState } from '../../src/runs/index.ts';
import type { Actors } from './actors/index.ts';
import type { World } from './world.ts';

export type Step =
  | { readonly kind: 'trigger' | 'pause' | 'unpause'; readonly dag: number }
  | { readonly kind: 'schedule' | 'look' | 'sweep' | 'loseClaim' | 'syncTriggers'; readonly n: number }
  | { readonly kind: 'scheduleTogether' | 'beat' }
  | { readonly kind: 'take'; readonly n: number; readonly limit: number }
  | {
      readonly kind: 'report' | 'reportLate' | 'reportAgain' | 'fire' | 'fireLate' | 'fireAgain';
      readonly which: number;
    }
  | { readonly kind: 'doom'; readonly n: number; readonly statements: number }
  | { readonly kind: 'killWorker' | 'killTriggerer'; readonly n: number; readonly known: boolean }
  | { readonly kind: 'wait'; readonly seconds: number }
  | ByHand;
/** What a person does to a run or a task instance. */
type ByHand = {
  readonly kind: 'clear' | 'clearTask' | 'endRun' | 'endTask';
  readonly which: number;
  readonly good: boolean;
};

export const isByHand = (step: Step): step is ByHand => 'good' in step;

const n = fc.nat(1);
const which = fc.nat(1000);
const kinds = <K extends string>(...names: K[]) => fc.constantFrom(...names);
const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });
const history = (step: fc.Arbitrary<Step>): fc.Arbitrary<Step[]> => fc.array(step, { minLength: 30, maxLength: 70 });

const ORDERLY = [
  weighted(4, fc.record({ kind: kinds('trigger'), dag: fc.nat(2) })),
  weighted(8, fc.record({ kind: kinds('schedule', 'schedule', 'schedule', 'look', 'syncTriggers'), n })),
  weighted(8, fc.record({ kind: kinds('take'), n, limit: fc.integer({ min: 0, max: 6 }) })),
  weighted(10, fc.record({ kind: kinds('report', 'report', 'report', 'fire', 'reportAgain', 'fireAgain'), which })),
  weighted(3, fc.record({ kind: kinds('doom'), n, statements: fc.nat(25) })),
  weighted(1, fc.record({ kind: kinds('sweep'), n })),
  weighted(1, fc.record({ kind: kinds('beat') })),
  weighted(1, fc.record({ kind: kinds('pause', 'unpause'), dag: fc.nat(2) })),
  weighted(1, fc.record({ kind: kinds('wait'), seconds: fc.constantFrom(1, 8, 61) })),
] as const;

/** Only schedulers die, and one thing happens after the other: the same from the same seed. */
export const orderlyHistory = history(fc.oneof(...ORDERLY));
/** Everything dies, at the same time too, and people meddle. */
export const wildHistory = history(
  fc.oneof(
    ...ORDERLY,
    weighted(3, fc.record({ kind: kinds('scheduleTogether') })),
    weighted(2, fc.record({ kind: kinds('reportLate', 'fireLate'), which })),
    weighted(1, fc.record({ kind: kinds('loseClaim'), n })),
    weighted(2, fc.record({ kind: kinds('killWorker', 'killTriggerer'), n, known: fc.boolean() })),
    weighted(2, fc.record({ kind: kinds('clear', 'clearTask', 'endRun', 'endTask'), which, good: fc.boolean() })),
    weighted(1, fc.record({ kind: kinds('wait'), seconds: fc.constantFrom(35, 70, 400, 700) })),
  ),
);

const MAX_RUNS = 6;
/** Rounds of a minute without any change, after which nothing is expected any more: far more than every time limit here. */
const MAX_IDLE = 30;

export class History {
  readonly #world: World;
  readonly #actors: Actors;
  readonly #dags: number;
  #runs = 0;

  /** @param dags how many there are; they are named d0, d1, … */
  constructor(world: World, actors: Actors, dags: number) {
    this.#world = world;
    this.#actors = actors;
    this.#dags = dags;
  }

  async step(step: Step): Promise<void> {
    const { schedulers, workers, triggerers, beat } = this.#actors;
    switch (step.kind) {
      case 'trigger':
        return this.#trigger(step.dag);
      case 'pause':
      case 'unpause':
        return this.#setPaused(step.dag, step.kind === 'pause');
      case 'schedule':
        return schedulers.work(step.n);
      case 'look':
      case 'sweep':
        return schedulers.work(step.n, step.kind);
      case 'scheduleTogether':
        return schedulers.workTogether();
      case 'doom':
        return schedulers.doom(step.n, step.statements);
      case 'loseClaim':
        return workers.claim(step.n, true);
      case 'take':
        await workers.claim(step.n);
        return workers.start(step.n, step.limit);
      case 'report':
        return workers.report(step.which);
      case 'reportLate':
        return workers.reportLate(step.which);
      case 'reportAgain':
        return workers.reportAgain(step.which);
      case 'killWorker':
        return workers.kill(step.n, step.known);
      case 'syncTriggers':
        return triggerers.sync(step.n);
      case 'fire':
      case 'fireLate':
        return triggerers.fire(step.which, step.kind === 'fireLate');
      case 'fireAgain':
        return triggerers.fireAgain(step.which);
      case 'killTriggerer':
        return triggerers.kill(step.n, step.known);
      case 'beat':
        return beat();
      case 'wait':
        this.#world.clock.advance(step.seconds);
        return beat();
      default:
        return this.#intervene(step);
    }
  }

  async #trigger(dag: number): Promise<void> {
    if (this.#runs >= MAX_RUNS) return;
    const number = this.#runs++;
    // In the past of the clock, one after the other, as a schedule would have them.
    const logicalDate = new Date(Date.parse('2026-06-01T00:00:00Z') + number * 3_600_000).toISOString();
    await this.#world.trigger(`d${dag % this.#dags}`, { runId: `r${number}`, logicalDate });
  }

  async #setPaused(dag: number, paused: boolean): Promise<void> {
    await this.#world.db.query(sql`UPDATE dag SET is_paused = ${paused} WHERE dag_id = ${`d${dag % this.#dags}`}`);
    await this.#world.db.query(sql`SELECT pg_notify('airlock', 'schedule')`);
  }

  async #intervene(step: ByHand): Promise<void> {
    const { db, clock } = this.#world;
    const nowIso = clock.iso();
    const tis = await db.query<{
      dag_run_id: number;
      dag_id: string;
      run_id: string;
      task_id: string;
      map_index: number;
    }>(
      sql`SELECT dag_run_id, dag_id, run_id, task_id, map_index FROM task_instance ORDER BY dag_run_id, task_id, map_index`,
    );
    if (tis.length === 0) return;
    const ti = tis[step.which % tis.length]!;
    const run = { dagId: ti.dag_id, runId: ti.run_id };
    const cleared = { dagId: ti.dag_id, dagRunIds: [ti.dag_run_id], nowIso };
    const tasks = [{ taskId: ti.task_id, mapIndex: ti.map_index }];
    const state = step.good ? 'success' : 'failed';
    await db.transaction(async (tx) => {
      if (step.kind === 'clear') await clearTaskInstances(tx, cleared);
      else if (step.kind === 'clearTask')
        await clearTaskInstances(tx, { ...cleared, tasks, includeDownstream: step.good });
      else if (step.kind === 'endRun') await setDagRunState(tx, { ...run, state, nowIso });
      else await setTaskInstanceState(tx, { ...run, tasks, state, nowIso });
    });
  }

  /** From here on everybody lives and works, so every run must end. @param check called after each round of a minute */
  async finish(check: () => Promise<void>): Promise<void> {
    for (let dag = 0; dag < this.#dags; dag++) await this.#setPaused(dag, false);
    let before = '';
    for (let idle = 0; idle < MAX_IDLE; idle++) {
      this.#world.clock.advance(61);
      await this.#actors.workThrough();
      await check();
      const now = await this.all();
      if (now !== before) idle = 0;
      before = now;
      const open = await this.#world.db.query(sql`SELECT 1 FROM dag_run WHERE state IN ('queued', 'running') LIMIT 1`);
      if (open.length === 0) return;
    }
    const open =
      await this.#world.db.query(sql`SELECT dag_id, run_id, state, (SELECT json_agg(concat_ws(' ', t.task_id, t.map_index, t.state)
      ORDER BY t.task_id, t.map_index) FROM task_instance t WHERE t.dag_run_id = r.id) AS tasks
      FROM dag_run r WHERE state IN ('queued', 'running')`);
    deepEqual(open, [], 'runs that do not end');
  }

  /** Every run, and every task instance with its tries, by name, as text. */
  async all(): Promise<string> {
    const rows = await this.#world.db.query<{ text: string }>(sql`
      SELECT concat_ws(' ', r.dag_id, r.run_id, COALESCE(r.state, 'none'), t.task_id, t.map_index, COALESCE(t.state, 'none'), t.try_number,
        (SELECT string_agg(h.try_number || ':' || h.state, ' ' ORDER BY h.try_number) FROM task_instance_history h
          WHERE h.dag_run_id = t.dag_run_id AND h.task_id = t.task_id AND h.map_index = t.map_index)) AS text
      FROM dag_run r JOIN task_instance t ON t.dag_run_id = r.id ORDER BY r.dag_id, r.run_id, t.task_id, t.map_index`);
    return rows.map(({ text }) => text).join('\n');
  }
}
