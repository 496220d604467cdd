/** Who pays for a request of the Execution API: its subject, and where there are teams, the team of the subject's stored row. */
import type { Db } from '@airlock/store';
import { getTeamOfTry } from '@airlock/store/queries/team/of-try';
import type { Payer } from '../http/budget.ts';
import type { Identity } from './authenticate.ts';

/** Tries whose team is remembered; the longest unused are forgotten, and asked for again. */
const MAX_KNOWN = 20_000;

export function createPayers(db: Db, multiTeam: boolean): (identity: Identity) => Promise<Payer> {
  const known = new Map<string, readonly string[]>();
  return async ({ kind, claims: { sub } }) => {
    if (!multiTeam || (kind !== 'execution' && kind !== 'workload')) return { caller: sub, teams: [] };
    let teams = known.get(sub);
    if (!teams) {
      const team = await getTeamOfTry(db, sub);
      teams = team === null ? [] : [team];
    }
    known.delete(sub); // the map's order is the order of last use
    known.set(sub, teams);
    if (known.size > MAX_KNOWN) known.delete(known.keys().next().value!);
    return { caller: sub, teams };
  };
}
