/** The rows of `dag_bundle`, from the configuration, and what the examples need on first start. */
import { isAbsolute } from 'node:path';
import type { Config } from '@airlock/contract/config/index';
import { AppError } from '@airlock/contract/errors';
import type { Database } from '@airlock/store';
import { insertConnection } from '@airlock/store/queries/connection/write';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { insertPool } from '@airlock/store/queries/pool/write';
import { type BundleRow, bundleIsKnown, lockBundles, syncBundles } from '@airlock/store/queries/rest-meta/bundles';
import { insertTeam } from '@airlock/store/queries/team/manage';
import { insertVariable } from '@airlock/store/queries/variable/write';
import type { SecretBox } from './api/secrets/index.ts';
import { secretOwner } from './api/secrets/stored.ts';
import { TEAM_NAME } from './auth-managers/teams.ts';

export const DEFAULT_BUNDLE = 'dags-folder';
export const EXAMPLES_BUNDLE = 'airlock-examples';
const GIT_CLASSES = ['airflow.providers.git.bundles.git.GitDagBundle', 'GitDagBundle', 'git'];
const GIT_KWARGS = ['repo_url', 'tracking_ref', 'subdir', 'refresh_interval'];
const DEFAULT_REFRESH_SECONDS = 300;
const LOCAL_CLASSES = ['airflow.dag_processing.bundles.local.LocalDagBundle', 'LocalDagBundle', 'local'];

type Entry = {
  readonly name?: unknown;
  readonly classpath?: unknown;
  readonly kwargs?: Readonly<Record<string, unknown>>;
  readonly team_name?: unknown;
};

function invalid(text: string): AppError {
  return new AppError('CONFIG_INVALID', {
    public: `[dag_processor] dag_bundle_config_list: ${text}`,
    remedy:
      'Give a JSON list of {"name", "classpath", "kwargs", "team_name"}, the last one only with teams; docs/dag-processor.md says which kwargs.',
  });
}

/** The bundles that the configuration names. Pure. @throws CONFIG_INVALID */
export function configuredBundles(config: Config, examplesDir: string | null): BundleRow[] {
  const text = config.dag_processor.dag_bundle_config_list;
  const bundles = text === null ? defaultBundles(config) : parseList(text, config);
  if (config.core.load_examples && examplesDir !== null) {
    bundles.push({ name: EXAMPLES_BUNDLE, path: examplesDir, git: null, team: null });
  }
  const names = bundles.map((bundle) => bundle.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(`the name ${twice} is used twice.`);
  return bundles;
}

function defaultBundles(config: Config): BundleRow[] {
  return [{ name: DEFAULT_BUNDLE, path: config.core.dags_folder, git: null, team: null }];
}

function parseList(text: string, config: Config): BundleRow[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw invalid('is not JSON.');
  }
  if (!Array.isArray(list) || list.length === 0) throw invalid('is no list with at least one bundle.');
  return list.map((entry: Entry): BundleRow => {
    if (typeof entry !== 'object' || entry === null || typeof entry.name !== 'string' || entry.name === '') {
      throw invalid('a bundle has no name.');
    }
    const team = teamOf(entry, config);
    const isGit = typeof entry.classpath === 'string' && GIT_CLASSES.includes(entry.classpath);
    if (isGit) return { name: entry.name, path: '', git: gitOf(entry.name, entry.kwargs ?? {}), team };
    if (typeof entry.classpath !== 'string' || !LOCAL_CLASSES.includes(entry.classpath)) {
      throw invalid(`bundle ${entry.name}: its classpath is neither a local nor a git bundle.`);
    }
    const path = entry.kwargs?.path ?? config.core.dags_folder;
    if (typeof path !== 'string' || !isAbsolute(path)) throw invalid(`bundle ${entry.name}: its path is not absolute.`);
    return { name: entry.name, path, git: null, team };
  });
}

/** A repository that can be read without log-in: nothing secret is in a configuration that reaches processes and their arguments. */
function gitOf(name: string, kwargs: Readonly<Record<string, unknown>>): BundleRow['git'] {
  const unknown = Object.keys(kwargs).find((key) => !GIT_KWARGS.includes(key));
  if (unknown !== undefined)
    throw invalid(`bundle ${name}: ${unknown} is not known here; ${GIT_KWARGS.join(', ')} are.`);
  const { repo_url: url, tracking_ref: ref, subdir = null, refresh_interval: every = DEFAULT_REFRESH_SECONDS } = kwargs;
  const parsed = typeof url === 'string' ? URL.parse(url) : null;
  if (typeof url !== 'string' || !parsed || !['https:', 'file:'].includes(parsed.protocol)) {
    throw invalid(`bundle ${name}: its repo_url is no https:// or file:// address.`);
  }
  if (parsed.username !== '' || parsed.password !== '') throw invalid(`bundle ${name}: its repo_url holds a log-in.`);
  const isRef = typeof ref === 'string' && /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}$/.test(ref) && !ref.includes('..');
  if (!isRef) throw invalid(`bundle ${name}: its tracking_ref is no branch, tag or commit.`);
  const isFolder = (path: unknown): path is string =>
    typeof path === 'string' && path !== '' && path.split('/').every((part) => !['', '.', '..', '.git'].includes(part));
  if (subdir !== null && !isFolder(subdir))
    throw invalid(`bundle ${name}: its subdir is no folder within the repository.`);
  if (typeof every !== 'number' || !(every >= 1 && every <= 86_400))
    throw invalid(`bundle ${name}: its refresh_interval is not from 1 to 86400 seconds.`);
  return { repo_url: url, tracking_ref: ref, subdir, refresh_seconds: every };
}

function teamOf(entry: Entry, config: Config): string | null {
  const team = entry.team_name ?? null;
  if (team === null) return null;
  if (!config.core.multi_team) throw invalid(`bundle ${entry.name} has a team_name, but [core] multi_team is off.`);
  if (typeof team !== 'string' || !TEAM_NAME.test(team)) {
    throw invalid(`bundle ${entry.name}: its team_name is no name of a team (1 to 50 of A-Z a-z 0-9 _ -).`);
  }
  return team;
}

export type BundleOptions = {
  readonly config: Config;
  readonly examplesDir: string | null;
  /** Folder that the connection of the example names. */
  readonly outputDir: string;
  readonly secrets: SecretBox;
  readonly nowIso: string;
};

/** Writes the bundle rows and the teams that they name; on the first start with examples also the variable, pool and connection which they use. */
export async function prepareBundles(db: Database, options: BundleOptions): Promise<void> {
  const bundles = configuredBundles(options.config, options.examplesDir);
  await db.transaction(async (tx) => {
    // Once only: what an operator has deleted since stays deleted.
    await lockBundles(tx);
    const first = !(await bundleIsKnown(tx, EXAMPLES_BUNDLE));
    for (const { team } of bundles) {
      if (team === null || !(await insertTeam(tx, team))) continue;
      await insertEventLog(tx, {
        nowIso: options.nowIso,
        event: 'create_team',
        owner: 'airlock',
        extra: JSON.stringify({ name: team }),
      });
    }
    await syncBundles(tx, bundles, options.nowIso);
    if (!first || !bundles.some((bundle) => bundle.name === EXAMPLES_BUNDLE)) return;
    const { secrets } = options;
    const key = 'weather_region';
    await insertVariable(tx, {
      team: null,
      key,
      val: secrets.seal('seattle', secretOwner.variable(key)),
      description: 'Used by the example weather_report.',
      is_encrypted: secrets.encrypts,
    });
    const connId = 'weather_output';
    // What is there already is the operator's and stays.
    await insertConnection(tx, {
      team: null,
      conn_id: connId,
      conn_type: 'fs',
      description: 'Where the example weather_report writes its files.',
      host: null,
      schema: null,
      login: null,
      password: null,
      port: null,
      extra: secrets.seal(JSON.stringify({ path: options.outputDir }), secretOwner.extra(connId)),
      is_encrypted: secrets.encrypts,
    });
    const description = 'Used by the example weather_report.';
    await insertPool(tx, { name: 'weather', slots: 4, description, include_deferred: false, team: null });
  });
}
