/** A Dag whose timetable is the author's own, and a dag-processor played by the store's own statements. */
import { randomUUID } from 'node:crypto';
import type { AskedRun, TimetableAnswer, TimetableAsk } from '@airlock/contract/timetables';
import { type Database, sql } from '@airlock/store';
import { claimQuestions } from '@airlock/store/queries/timetable/answer';
import { takeAnswer } from '../../src/runs/asked-timetables.ts';

export const OWN = { __type: 'own.Workdays', __var: { zone: 'UTC' } };

/** A run over one day, which comes at its end; `day` counts from 2026-06-01. */
export function dayRun(day: number, name: string | null = null): AskedRun {
  const at = (n: number) => new Date(Date.UTC(2026, 5, n)).toISOString().replace('.000Z', '.000000Z');
  return { run_after: at(day + 1), interval: { start: at(day), end: at(day + 1) }, run_id: name };
}

export type Processor = {
  readonly id: string;
  readonly claim: (over?: {
    bundles?: readonly string[];
    limit?: number;
    holds?: readonly string[];
  }) => Promise<Array<{ id: string; dag_id: string; ask: TimetableAsk; timetable: unknown }>>;
  readonly answer: (id: string, answer: TimetableAnswer) => Promise<boolean>;
  /** Claims the one question there is, and answers it. @returns what was asked */
  readonly say: (answer: TimetableAnswer | readonly AskedRun[]) => Promise<TimetableAsk>;
  readonly end: () => Promise<void>;
};

export async function joinProcessor(db: Database, clock: { nowMs: () => number }): Promise<Processor> {
  const id = randomUUID();
  const iso = () => new Date(clock.nowMs()).toISOString();
  await db.query(sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
    VALUES (${id}, ${id}, '{}', 'h', 'u', 1, '{parse}', 'namespaces', '0', ${iso()}::timestamptz, ${iso()}::timestamptz)`);
  const held: string[] = [];
  const claim: Processor['claim'] = async ({ bundles = ['dags-folder'], limit = 10, holds = held } = {}) => {
    const claimed = (await claimQuestions(db, {
      supervisorId: id,
      bundles,
      limit,
      holds,
      claimedBeforeIso: new Date(clock.nowMs() - 180_000).toISOString(),
      nowIso: iso(),
    })) as Awaited<ReturnType<Processor['claim']>>;
    held.push(...claimed.map((one) => one.id));
    return claimed;
  };
  const answer: Processor['answer'] = (question, given) =>
    db.transaction((tx) => takeAnswer(tx, { id: question, supervisorId: id, answer: given, nowIso: iso() }));
  return {
    id,
    claim,
    answer,
    say: async (given) => {
      const [question, ...more] = await claim();
      if (!question || more.length > 0) throw new Error(`${question ? more.length + 1 : 0} questions are open`);
      const whole = 'kind' in given ? given : { kind: 'runs' as const, runs: [...given] };
      if (!(await answer(question.id, whole))) throw new Error('the answer was not accepted');
      return question.ask;
    },
    end: async () => {
      await db.query(sql`UPDATE supervisor SET ended_at = ${iso()}::timestamptz WHERE id = ${id}`);
    },
  };
}
