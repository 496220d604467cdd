/** Where the value of an option comes from, and how it is read. */
import { AppError } from '../errors.ts';
import type { OptionRow, OptionTable } from './options.ts';

/** Sections and keys of a configuration file, lower case. */
export type IniFile = Readonly<Record<string, Readonly<Record<string, string>>>>;

export type ConfigSources = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly ini: IniFile;
  /** Replaces `$X`, `${X}` and `~`. */
  readonly expand: (text: string) => string;
  /** Runs a `_CMD` and gives its output without the last line break. Absent: `_CMD` is refused. */
  readonly command?: (line: string) => string;
};

/** One option with its value, and the place that it came from: a variable's name, `airlock.cfg`, or `default`. */
export type ResolvedOption = {
  readonly section: string;
  readonly key: string;
  readonly value: unknown;
  readonly source: string;
  readonly row: OptionRow<unknown>;
};

type Found = { readonly text: string; readonly source: string };

/** `AIRLOCK__API__PORT`; dots in section names become `_`. */
export function environmentName(prefix: 'AIRLOCK' | 'AIRFLOW', section: string, key: string): string {
  return `${prefix}__${section.replaceAll('.', '_')}__${key}`.toUpperCase();
}

function find(section: string, key: string, row: OptionRow<unknown>, sources: ConfigSources): Found | null {
  const names = [[section, key] as const, ...(row.formerly ?? []).map((name) => name.split('.') as [string, string])];
  const variable = (suffix: string): Found | null => {
    for (const [s, k] of names) {
      for (const prefix of ['AIRLOCK', 'AIRFLOW'] as const) {
        const name = environmentName(prefix, s, k) + suffix;
        const text = sources.env[name];
        if (text !== undefined) return { text, source: name };
      }
    }
    return null;
  };
  const entry = (suffix: string): Found | null => {
    for (const [s, k] of names) {
      const text = sources.ini[s]?.[k + suffix];
      if (text !== undefined) return { text, source: `airlock.cfg [${s}] ${k}${suffix}` };
    }
    return null;
  };
  const run = (found: Found | null): Found | null => {
    if (!found) return null;
    if (!sources.command) throw new Error('can not come from a command in this process');
    return { text: sources.command(found.text), source: found.source };
  };
  const secret = (found: Found | null): null => {
    if (found) throw new Error(`asks a secrets backend (${found.source}), and none is configured`);
    return null;
  };
  const plain = variable('');
  if (plain || !row.sensitive) return plain ?? entry('');
  return (
    run(variable('_CMD')) ?? secret(variable('_SECRET')) ?? entry('') ?? run(entry('_cmd')) ?? secret(entry('_secret'))
  );
}

function resolveOne(section: string, key: string, row: OptionRow<unknown>, sources: ConfigSources): ResolvedOption {
  const found = find(section, key, row, sources);
  if (found) return { section, key, row, value: row.parse(sources.expand(found.text)), source: found.source };
  const value = typeof row.default === 'string' ? sources.expand(row.default) : row.default;
  return { section, key, row, value, source: 'default' };
}

/** Every option of `sections` with value and source, in the tables' order. @throws CONFIG_INVALID naming each wrong one */
export function resolveAll(sections: Readonly<Record<string, OptionTable>>, sources: ConfigSources): ResolvedOption[] {
  const resolved: ResolvedOption[] = [];
  const wrong: string[] = [];
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, row] of Object.entries(table)) {
      try {
        resolved.push(resolveOne(section, key, row as OptionRow<unknown>, sources));
      } catch (error) {
        if (error instanceof AppError) throw error;
        // The value itself stays out of the message: it may be a secret.
        wrong.push(`[${section}] ${key} ${(error as Error).message}`);
      }
    }
  }
  if (wrong.length > 0)
    throw new AppError('CONFIG_INVALID', { public: `The configuration is wrong: ${wrong.join('; ')}.` });
  return resolved;
}

/** Options of a file that no table knows, as `[section] key`; for a warning, since Airflow allows them. */
export function unknownOptions(sections: Readonly<Record<string, OptionTable>>, ini: IniFile): string[] {
  const known = new Set<string>();
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, row] of Object.entries(table)) {
      for (const name of [`${section}.${key}`, ...(row.formerly ?? [])]) {
        known.add(name);
        if (row.sensitive) known.add(`${name}_cmd`).add(`${name}_secret`);
      }
    }
  }
  return Object.entries(ini).flatMap(([section, entries]) =>
    Object.keys(entries)
      .filter((key) => !known.has(`${section}.${key}`))
      .map((key) => `[${section}] ${key}`),
  );
}
