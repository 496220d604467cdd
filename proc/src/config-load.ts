/** Reads environment and airlock.cfg into a Config. Only `bin/` files call it, once. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Config, configOf, SECTIONS } from '@airlock/contract/config/index';
import { refuseStrayValues } from '@airlock/contract/config/must-not-have';
import type { ProcessKind } from '@airlock/contract/config/options';
import { type ConfigSources, namesOfSecrets, type ResolvedOption, resolveAll } from '@airlock/contract/config/resolve';
import { checkTransport } from '@airlock/contract/config/transport';
import { unknownOptions } from '@airlock/contract/config/unknown';
import { AppError } from '@airlock/contract/errors';
import { parseIni } from './ini.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type LoadedConfig = {
  readonly config: Config;
  /** `$AIRLOCK_HOME`, absolute. */
  readonly home: string;
  /** Path of airlock.cfg, which need not exist. */
  readonly file: string;
  /** Every option with the place that its value came from. */
  readonly options: readonly ResolvedOption[];
  /** Old names, unknown names and values that count otherwise than they were written, a sentence each. */
  readonly warnings: readonly string[];
};

/** The data folder: `AIRLOCK_HOME`, else /var/lib/airlock for root and ~/airlock for everybody else. */
export function homeFolder(env: Environment): string {
  if (env.AIRLOCK_HOME) return resolve(env.AIRLOCK_HOME);
  return process.getuid?.() === 0 ? '/var/lib/airlock' : join(env.HOME || homedir(), 'airlock');
}

/** Environment and file, not yet judged. @throws CONFIG_INVALID a file that can't be read or parsed */
function readSources(env: Environment): { sources: ConfigSources; file: string; home: string } {
  const home = homeFolder(env);
  const file = env.AIRLOCK_CONFIG ? resolve(env.AIRLOCK_CONFIG) : join(home, 'airlock.cfg');
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new AppError('CONFIG_INVALID', {
        public: `${file} can't be read: ${(error as Error).message}`,
        cause: error,
      });
    }
  }
  const { entries, line } = parseIni(text, file);
  const sources: ConfigSources = {
    // Set to nothing, the short name means nothing, so that a service file may always name it.
    env: { ...env, AIRLOCK_DATABASE_URL: env.AIRLOCK_DATABASE_URL || undefined },
    ini: entries,
    place: (section, key) => `${file}, line ${line(section, key)}`,
    expand: (value) =>
      expand(value, { ...env, AIRLOCK_HOME: home, AIRFLOW_HOME: env.AIRFLOW_HOME ?? home }, env.HOME || homedir()),
    command: runCommand,
  };
  return { sources, file, home };
}

/** What has to be known of the configuration before its secrets can be asked for. */
export type SecretsAsked = {
  /** Names that options ask for by `_SECRET`. */
  readonly names: readonly string[];
  readonly backend: string | null;
  readonly backend_kwargs: string | null;
  readonly multiTeam: boolean;
};

/** Options that are set by `_SECRET`, and the back end to ask. @throws CONFIG_INVALID a broken file, or a wrong `[secrets]` */
export function secretsAsked(env: Environment): SecretsAsked {
  const { sources } = readSources(env);
  const names = namesOfSecrets(SECTIONS, sources);
  if (names.length === 0) return { names, backend: null, backend_kwargs: null, multiTeam: false };
  const few = { secrets: SECTIONS.secrets, core: { multi_team: SECTIONS.core.multi_team } };
  const { secrets, core } = configOf(resolveAll(few, sources));
  return { names, backend: secrets.backend, backend_kwargs: secrets.backend_kwargs, multiTeam: core.multi_team };
}

/**
 * What a process of `kind` reads that no parent hands its values to.
 * @param secret what the secrets back end has under a name, for processes that may ask it; `unasked`: for those that only show
 * @throws CONFIG_INVALID a broken file, a wrong value, a command that failed, or a sensitive value that this kind must not have
 */
export function loadConfig(env: Environment, kind: ProcessKind, secret?: ConfigSources['secret']): LoadedConfig {
  const { sources: read, file, home } = readSources(env);
  const sources: ConfigSources = { ...read, secret };
  refuseStrayValues(kind, SECTIONS, sources);
  const options = resolveAll(SECTIONS, sources);
  const config = configOf(options);
  checkTransport(config);
  const warnings = [
    ...options.flatMap((option) => option.warnings),
    ...unknownOptions(SECTIONS, sources, config.python.env),
  ];
  const fromFile = (option: ResolvedOption) => option.row.sensitive && option.source.startsWith(file);
  if (options.some(fromFile) && (statSync(file).mode & 0o077) !== 0)
    warnings.push(`${file} holds secrets and may be read by others; run chmod 600 ${file}.`);
  return { config, home, file, options, warnings };
}

/** `$X`, `${X}` and a leading `~`, repeated until nothing changes; unknown variables stay as they are. Pure. */
export function expand(text: string, env: Environment, userHome: string): string {
  let before = text;
  for (let round = 0; round < 10; round++) {
    const after = before
      .replace(/^~(?=\/|$)/, userHome)
      .replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, plain) => env[braced ?? plain] ?? whole);
    if (after === before) return after;
    before = after;
  }
  return before;
}

/** Splits as a shell would: blanks, single and double quotes, backslash. Pure. @throws CONFIG_INVALID an open quote */
export function splitCommand(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (quote) {
      if (character === quote) quote = null;
      else if (character === '\\' && quote === '"' && /["\\$`]/.test(line[at + 1] ?? '')) word += line[++at]!;
      else word += character;
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word ??= '';
      if (character === "'" || character === '"') quote = character;
      else if (character === '\\' && at + 1 < line.length) word += line[++at]!;
      else word += character;
    }
  }
  if (quote) throw new AppError('CONFIG_INVALID', { public: 'A command line in the configuration has an open quote.' });
  if (word !== null) words.push(word);
  return words;
}

/** Output of a `_CMD`, without its last line break. Run without a shell. */
function runCommand(line: string): string {
  const [program, ...args] = splitCommand(line);
  const result = spawnSync(program ?? '', args, {
    encoding: 'utf8',
    timeout: 30_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (result.status !== 0) {
    // Neither output nor arguments are shown: both may hold the secret.
    throw new AppError('CONFIG_INVALID', {
      public: `The command ${program ?? ''} of a _CMD option failed (${result.error?.message ?? `status ${result.status}`}).`,
    });
  }
  return result.stdout.replace(/\r?\n$/, '');
}
