/** Options that no table knows: warned about and not refused, since Airflow allows them and a typing error is best seen early. */
import type { OptionRow } from './options.ts';
import {
  type ConfigSources,
  entriesOf,
  environmentName,
  memberVariablesOf,
  placeOf,
  type Sections,
  variablesOf,
} from './resolve.ts';

type Name = { readonly section: string; readonly key: string };

/** Changes of one letter between two words: insertions, deletions and replacements. Bounded by the length of option names. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** The longest option name is half as long; a longer word is no slip of the fingers. */
const LONGEST = 120;

/** The known option that was probably meant: the same key elsewhere, else a few letters away; null = none is near. */
function nearest(given: Name, known: readonly Name[]): Name | null {
  const word = `${given.section}.${given.key}`;
  if (word.length > LONGEST) return null;
  const elsewhere = known.find((name) => name.key === given.key);
  if (elsewhere) return elsewhere;
  let best: { name: Name; away: number } | null = null;
  for (const name of known) {
    const away = distance(word, `${name.section}.${name.key}`);
    if (best === null || away < best.away) best = { name, away };
  }
  return best !== null && best.away <= Math.max(2, Math.floor(given.key.length / 3)) ? best.name : null;
}

/**
 * One sentence for each entry of file and environment that nothing reads, with the option that was probably meant.
 * @param handedOn variables that somebody else reads: those of `[python] env`
 */
export function unknownOptions(
  sections: Sections,
  sources: Pick<ConfigSources, 'env' | 'ini' | 'place'>,
  handedOn: readonly string[] = [],
): string[] {
  const current: Name[] = [];
  const entries = new Set<string>();
  const variables = new Set<string>();
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, described] of Object.entries(table)) {
      const row = described as OptionRow<unknown>;
      current.push({ section, key });
      for (const { name } of memberVariablesOf(section, row, sources.env)) variables.add(name);
      for (const suffix of row.sensitive ? (['', '_cmd', '_secret'] as const) : ([''] as const)) {
        for (const entry of entriesOf(section, key, row, suffix)) entries.add(`${entry.section}.${entry.key}`);
        for (const variable of variablesOf(section, key, row, suffix)) variables.add(variable.name);
      }
    }
  }
  const hint = (given: Name, show: (name: Name) => string) => {
    const name = nearest(given, current);
    return name ? `; did you mean ${show(name)}?` : '.';
  };
  const found: string[] = [];
  for (const [section, keys] of Object.entries(sources.ini)) {
    for (const key of Object.keys(keys)) {
      if (entries.has(`${section}.${key}`)) continue;
      const place = placeOf(sources, section, key);
      found.push(
        `${place}: nothing reads [${section}] ${key}${hint({ section, key }, (name) => `[${name.section}] ${name.key}`)}`,
      );
    }
  }
  for (const variable of Object.keys(sources.env)) {
    const parts = /^(AIRLOCK|AIRFLOW)__(.+?)__(.+)$/.exec(variable);
    if (!parts || variables.has(variable) || handedOn.includes(variable)) continue;
    const prefix = parts[1] as 'AIRLOCK' | 'AIRFLOW';
    const given = { section: parts[2]!.toLowerCase(), key: parts[3]!.toLowerCase() };
    found.push(
      `nothing reads the variable ${variable}${hint(given, (name) => environmentName(prefix, name.section, name.key))}`,
    );
  }
  return found;
}
