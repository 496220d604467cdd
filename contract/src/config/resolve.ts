/** Where the value of an option comes from, and how it is read. */
import { AppError } from '../errors.ts';
import type { OptionRow, OptionTable } from './options.ts';

/** Sections and keys of a configuration file, lower case. */
export type IniFile = Readonly<Record<string, Readonly<Record<string, string>>>>;
export type Sections = Readonly<Record<string, OptionTable>>;

export type ConfigSources = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly ini: IniFile;
  /** Replaces `$X`, `${X}` and `~`. */
  readonly expand: (text: string) => string;
  /** Runs a `_CMD` and gives its output without the last line break. Absent: `_CMD` is refused. */
  readonly command?: (line: string) => string;
  /**
   * What the secrets back end has under the name that a `_SECRET` gives; null = nothing. Absent: `_SECRET` is refused, but for
   * `unasked`: then the option keeps its default, and its place says where the value is.
   */
  readonly secret?: ((name: string) => string | null) | 'unasked';
  /** How messages name an entry of the file: with its line. Default: section and key. */
  readonly place?: (section: string, key: string) => string;
};

/** One option with its value, and the place that it came from: a variable's name, a line of the file, or `default`. */
export type ResolvedOption = {
  readonly section: string;
  readonly key: string;
  readonly value: unknown;
  readonly source: string;
  /** What is odd about it, in whole sentences; the value counts all the same. */
  readonly warnings: readonly string[];
  readonly row: OptionRow<unknown>;
};

type Found = {
  readonly text: string;
  readonly source: string;
  /** The older name, `[section] key`, under which it was found. */
  readonly formerly?: string;
  /** The text is the value itself, which a command or a secrets back end gave. */
  readonly given?: 'the command' | 'the secret of';
  /** The text is the name of a secret that nobody has asked for. */
  readonly unasked?: boolean;
};

/** What stands in messages instead of a secret. */
export const HIDDEN = '< hidden >';

/** `AIRLOCK__API__PORT`; dots in section names become `_`. */
export function environmentName(prefix: 'AIRLOCK' | 'AIRFLOW', section: string, key: string): string {
  return `${prefix}__${section.replaceAll('.', '_')}__${key}`.toUpperCase();
}

export type Suffix = '' | '_cmd' | '_secret';
/** A name under which an option may be set; `formerly` is the older `[section] key` that it comes from. */
type Named<N> = N & { readonly formerly?: string };

function namesOf(section: string, key: string, row: OptionRow<unknown>): Named<{ section: string; key: string }>[] {
  const older = (row.formerly ?? []).map((name) => {
    const [s, k] = name.split('.') as [string, string];
    return { section: s, key: k, formerly: `[${s}] ${k}` };
  });
  return [{ section, key }, ...older];
}

/** The variables that set an option, the strongest first. */
export function variablesOf(
  section: string,
  key: string,
  row: OptionRow<unknown>,
  suffix: Suffix,
): Named<{ name: string }>[] {
  return namesOf(section, key, row).flatMap(({ section: s, key: k, ...older }) => {
    const full = (prefix: 'AIRLOCK' | 'AIRFLOW') => ({ name: environmentName(prefix, s, k + suffix), ...older });
    const short = row.variable !== undefined && suffix === '' && s === section ? [{ name: row.variable }] : [];
    return [full('AIRLOCK'), ...short, full('AIRFLOW')];
  });
}

/** The variables of `env` that set single members of a JSON option, with the members' names; for one name the strongest comes last. */
export function memberVariablesOf(
  section: string,
  row: OptionRow<unknown>,
  env: ConfigSources['env'],
): Array<{ readonly name: string; readonly member: string }> {
  if (row.memberVariables === undefined) return [];
  const found = [];
  for (const prefix of ['AIRFLOW', 'AIRLOCK'] as const) {
    const start = `${environmentName(prefix, section, row.memberVariables)}__`;
    for (const name of Object.keys(env).sort())
      if (name.startsWith(start) && name.length > start.length && env[name] !== undefined)
        found.push({ name, member: name.slice(start.length).toLowerCase() });
  }
  return found;
}

/** The option with the members that variables set, over those of its own text. */
function withMembers(option: ResolvedOption, env: ConfigSources['env']): ResolvedOption {
  const variables = memberVariablesOf(option.section, option.row, env);
  if (variables.length === 0) return option;
  const text = option.value === null ? '{}' : String(option.value);
  const members = {
    ...(JSON.parse(text) as object),
    ...Object.fromEntries(variables.map((v) => [v.member, env[v.name]])),
  };
  const names = variables.map(({ name }) => name);
  const source = [...(option.source === 'default' ? [] : [option.source]), ...names].join(', ');
  return { ...option, value: option.row.parse(JSON.stringify(members)), source };
}

/** The entries of a file that set an option, the strongest first. */
export function entriesOf(
  section: string,
  key: string,
  row: OptionRow<unknown>,
  suffix: Suffix,
): Named<{ section: string; key: string }>[] {
  return namesOf(section, key, row).map((name) => ({ ...name, key: name.key + suffix }));
}

/** How messages name an entry of the file. */
export function placeOf(sources: Pick<ConfigSources, 'place'>, section: string, key: string): string {
  return sources.place?.(section, key) ?? `airlock.cfg [${section}] ${key}`;
}

/** First hit: environment, its `_CMD`, its `_SECRET`, the file, its `_cmd`, its `_secret`. */
function find(section: string, key: string, row: OptionRow<unknown>, sources: ConfigSources): Found | null {
  const variable = (suffix: Suffix): Found | null => {
    for (const { name, ...older } of variablesOf(section, key, row, suffix)) {
      const text = sources.env[name];
      if (text !== undefined) return { text, source: name, ...older };
    }
    return null;
  };
  const entry = (suffix: Suffix): Found | null => {
    for (const { section: s, key: k, ...older } of entriesOf(section, key, row, suffix)) {
      const text = sources.ini[s]?.[k];
      if (text !== undefined) return { text, source: placeOf(sources, s, k), ...older };
    }
    return null;
  };
  const run = (found: Found | null): Found | null => {
    if (!found) return null;
    if (!sources.command) throw new Error(`can not come from a command in this process (${found.source})`);
    try {
      return { ...found, text: sources.command(found.text), given: 'the command' };
    } catch (cause) {
      if (!(cause instanceof AppError)) throw cause;
      const text = `[${section}] ${key}: ${cause.message.replace(/\.$/, '')} (from ${found.source}).`;
      throw new AppError(cause.code, { public: text, remedy: cause.remedy, cause });
    }
  };
  const secret = (found: Found | null): Found | null => {
    if (!found) return null;
    if (sources.secret === 'unasked') return { ...found, unasked: true };
    if (!sources.secret) throw new Error(`asks a secrets backend (${found.source}), which this process can not ask`);
    const text = sources.secret(found.text);
    if (text === null) throw new Error(`asks a secrets backend (${found.source}), which has nothing of that name`);
    return { ...found, text, given: 'the secret of' };
  };
  const plain = variable('');
  if (plain || !row.sensitive) return plain ?? entry('');
  return (
    run(variable('_cmd')) ?? secret(variable('_secret')) ?? entry('') ?? run(entry('_cmd')) ?? secret(entry('_secret'))
  );
}

/** Longest piece of a value in a message. */
const SHOWN_CHARACTERS = 80;

function shown(text: string, row: OptionRow<unknown>): string {
  if (row.sensitive) return HIDDEN;
  return JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text);
}

/** `(value "x" from NAME; allowed: …)`. */
function about(found: Found, row: OptionRow<unknown>): string {
  const from = `${found.given ? `${found.given} ` : ''}${found.source}`;
  return `(value ${shown(found.text, row)} from ${from}; allowed: ${row.allowed})`;
}

/** @throws Error naming value, place and what is allowed · AppError likewise, where a value has an error code of its own */
function resolveOne(section: string, key: string, row: OptionRow<unknown>, sources: ConfigSources): ResolvedOption {
  const found = find(section, key, row, sources);
  if (!found) {
    const value = typeof row.default === 'string' ? sources.expand(row.default) : row.default;
    return { section, key, row, value, source: 'default', warnings: [] };
  }
  if (found.unasked) {
    return { section, key, row, value: row.default, source: `${found.source}, asked at the start`, warnings: [] };
  }
  const warnings: string[] = [];
  if (found.formerly !== undefined)
    warnings.push(`${found.source}: ${found.formerly} is now called [${section}] ${key}.`);
  const warn = (message: string) => warnings.push(`[${section}] ${key} ${message} ${about(found, row)}.`);
  try {
    // What a command prints or a back end holds is the value, whatever characters it has.
    const value = row.parse(found.given ? found.text : sources.expand(found.text), warn);
    return { section, key, row, value, source: found.source, warnings };
  } catch (error) {
    if (!(error instanceof AppError)) throw new Error(`${(error as Error).message} ${about(found, row)}`);
    const text = `${error.message.replace(/\.$/, '')} ${about(found, row)}.`;
    throw new AppError(error.code, { public: text, remedy: error.remedy });
  }
}

/** Every option of `sections` with value and source, in the tables' order. @throws CONFIG_INVALID naming each wrong one */
export function resolveAll(sections: Sections, sources: ConfigSources): ResolvedOption[] {
  const resolved: ResolvedOption[] = [];
  const wrong: string[] = [];
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, row] of Object.entries(table)) {
      try {
        const option = resolveOne(section, key, row as OptionRow<unknown>, sources);
        resolved.push(withMembers(option, sources.env));
      } catch (error) {
        if (error instanceof AppError) throw error;
        wrong.push(`[${section}] ${key} ${(error as Error).message}`);
      }
    }
  }
  if (wrong.length > 0)
    throw new AppError('CONFIG_INVALID', { public: `The configuration is wrong: ${wrong.join('; ')}.` });
  return resolved;
}

/** The names that the options of `sections` ask a secrets back end for, as far as they count; no command runs for it. */
export function namesOfSecrets(sections: Sections, sources: ConfigSources): string[] {
  const names = new Set<string>();
  const asking: ConfigSources = {
    ...sources,
    command: () => '',
    secret: (name) => {
      names.add(name);
      return '';
    },
  };
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, row] of Object.entries(table)) find(section, key, row as OptionRow<unknown>, asking);
  }
  return [...names];
}
