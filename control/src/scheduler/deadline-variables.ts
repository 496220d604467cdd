/** Variables that say how long runs may take, read as the callbacks of the Dag would read them. */
import { AppError } from '@airlock/contract/errors';
import { mayReadNamed } from '../api/execution/rights.ts';
import { lookUp } from '../api/secrets/sources.ts';
import { readVariable } from '../api/secrets/stored.ts';
import type { ControlDeps } from '../deps.ts';
import type { ReadDeadlineVariable } from '../runs/deadlines.ts';

export function deadlineVariables(
  deps: Pick<ControlDeps, 'db' | 'config' | 'secrets' | 'secretSources'>,
): ReadDeadlineVariable {
  const { db, config, secrets, secretSources } = deps;
  const rights = { mode: config.execution_api.rights_mode, multiTeam: config.core.multi_team };
  return async (key, { team, needs }) => {
    // What it says shows in the instant of the deadline: it is no way around the needs.
    if (!mayReadNamed(rights, { needs }, 'variables', key)) {
      throw new AppError('NOT_ENTITLED', { public: `VariableInterval '${key}' is not declared by the Dag` });
    }
    const outside = await lookUp(secretSources, (source) => source.variable(key, team));
    return outside ?? (await readVariable(db, secrets, { team, key }))?.val ?? null;
  };
}
