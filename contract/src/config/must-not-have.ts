/**
 * Sensitive values that a process must not have: those whose rows do not name its kind as a reader. A process that finds one
 * in its environment, or in the file that it reads itself, does not start: what it holds, whoever takes it over holds too.
 */
import { AppError } from '../errors.ts';
import type { OptionRow, ProcessKind } from './options.ts';
import { type ConfigSources, entriesOf, memberVariablesOf, placeOf, type Sections, variablesOf } from './resolve.ts';

/** Sensitive variables that are no options, and who may have them. */
export const SENSITIVE_VARIABLES: Readonly<
  Record<string, { readonly readers: readonly ProcessKind[]; readonly meaning: string }>
> = {
  AIRLOCK_ADMIN_PASSWORD: { readers: ['standalone', 'control'], meaning: 'the first password of the user admin' },
  AIRLOCK_TOKEN: { readers: ['cli'], meaning: 'the token of the command line' },
};

export type Stray = { readonly what: string; readonly source: string };

/** Kinds that are given values for others, and so may see all: the starter, and the operator's own tool. */
const HANDS_OVER: readonly ProcessKind[] = ['standalone', 'cli'];

/** What is set and must not be. An empty text sets nothing. Pure. */
export function strayValues(
  kind: ProcessKind,
  sections: Sections,
  sources: Pick<ConfigSources, 'env' | 'ini' | 'place'>,
): Stray[] {
  if (HANDS_OVER.includes(kind)) return [];
  const strays: Stray[] = [];
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, described] of Object.entries(table)) {
      const row = described as OptionRow<unknown>;
      if (!row.sensitive || row.readers.includes(kind)) continue;
      const what = `[${section}] ${key}`;
      for (const { name } of memberVariablesOf(section, row, sources.env))
        if (sources.env[name]) strays.push({ what, source: name });
      for (const suffix of ['', '_cmd', '_secret'] as const) {
        for (const { name } of variablesOf(section, key, row, suffix))
          if (sources.env[name]) strays.push({ what, source: name });
        for (const entry of entriesOf(section, key, row, suffix))
          if (sources.ini[entry.section]?.[entry.key])
            strays.push({ what, source: placeOf(sources, entry.section, entry.key) });
      }
    }
  }
  for (const [name, { readers, meaning }] of Object.entries(SENSITIVE_VARIABLES))
    if (sources.env[name] && !readers.includes(kind)) strays.push({ what: meaning, source: name });
  return strays;
}

/** @throws CONFIG_INVALID naming each sensitive value that a process of this kind must not have, and where it is */
export function refuseStrayValues(
  kind: ProcessKind,
  sections: Sections,
  sources: Pick<ConfigSources, 'env' | 'ini' | 'place'>,
): void {
  const strays = strayValues(kind, sections, sources);
  if (strays.length === 0) return;
  const list = strays.map(({ what, source }) => `${what} (from ${source})`).join(', ');
  throw new AppError('CONFIG_INVALID', {
    public: `This process (${kind}) must not be given ${list}.`,
    remedy:
      'Take it out of the environment of this process, or give the process a file of its own with AIRLOCK_CONFIG; docs/configuration.md says who needs what.',
  });
}
