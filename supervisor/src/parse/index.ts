/**
 * The role dag-processor: keeps the Dags that the server knows equal to the files of its bundles. Holds no database, no
 * key and no user code: each file is parsed in a sandboxed child of its own.
 * @see docs/dag-processor.md
 */
import { realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { BundleList } from '@airlock/contract/supervisor-api';
import { type GitCheckouts, gitCheckouts } from '../git/checkouts.ts';
import { createPythonHosts } from '../python/host.ts';
import { startInventory } from '../python/inventory.ts';
import { makePythonParse } from '../python/parse.ts';
import { makeAskTimetable } from '../python/timetable.ts';
import type { Role, RoleContext } from '../role-context.ts';
import { newMasker } from '../task/mask.ts';
import { makeParseApi, makeParseReads, type ParseApi } from './api.ts';
import { createBundleFailures, failureText } from './bundle-failures.ts';
import { BundleParser } from './bundle-parser.ts';
import type { IgnoreSyntax } from './ignore.ts';
import { Outbox, type OutboxLog } from './outbox.ts';
import { makeParseFile, type ParseFile } from './parse-child.ts';
import { isPython } from './scan.ts';
import { makeSlots } from './slots.ts';
import { startTimetables } from './timetables.ts';
import { type TreeWatch, watchTree } from './watch.ts';

/** How often the server is asked for its bundles; also keeps our token fresh, which lives 300 s. */
const BUNDLES_EVERY_MS = 60_000;
const FIRST_RETRY_MS = 200;
/** How often a folder that is not there is looked for. */
const MISSING_EVERY_MS = 5_000;

type Bundle = BundleList['bundles'][number];
type Follower = { readonly source: string; readonly stop: () => Promise<void> };
type OpenBundle = {
  readonly path: string;
  readonly root: string;
  readonly parser: BundleParser;
  readonly outbox: Outbox;
  readonly watch: TreeWatch;
};

/** Starts the role; it works until `stop`. Never throws: what fails is logged and tried again. */
export function startParseRole(context: RoleContext): Role {
  const { config, client, token } = context;
  const seconds = Math.min(config.core.dagbag_import_timeout, config.dag_processor.dag_file_processor_timeout);
  const mayConnect = new Set(config.dag_processor.network_bundles);
  const networkOf = (bundle: string) => (mayConnect.has(bundle) ? 'host' : 'none');
  const parseTypeScript = makeParseFile({
    networkOf,
    tier: context.tier,
    entry: context.entries.parser,
    enterScript: context.entries.enterScript,
    uids: { first: config.sandbox.uid_range_start, size: config.sandbox.uid_range_size },
    timeoutMs: seconds * 1000,
    disableBundleVersioning: config.dag_processor.disable_bundle_versioning,
    packages: context.packages,
    hidden: context.hidden,
    workBase: context.workBase,
  });
  const hosts = createPythonHosts(context, networkOf);
  const parsePython = makePythonParse({
    hosts,
    timeoutMs: seconds * 1000,
    ownUser: context.tier !== 'none',
    reads: makeParseReads(client, token),
    newMasker: () => newMasker(config),
  });
  const parseFile: ParseFile = (job, signal) => (isPython(job.relative) ? parsePython : parseTypeScript)(job, signal);
  let onBundles = (): void => undefined;
  const role = startParsing({
    onBundles: () => onBundles(),
    api: makeParseApi(client, token),
    parseFile,
    parsingProcesses: config.dag_processor.parsing_processes,
    checkouts: gitCheckouts(context),
    ignoreSyntax: config.core.dag_ignore_file_syntax,
    log: context.log.child({ role: 'dag-processor' }),
  });
  const inventory = startInventory(context);
  const timetables = startTimetables(context, {
    roots: role.roots,
    ask: makeAskTimetable(hosts, seconds * 1000),
    atOnce: 2 * config.dag_processor.parsing_processes,
  });
  onBundles = timetables.bundlesChanged;
  return {
    async stop() {
      await Promise.all([role.stop(), inventory.stop(), timetables.stop()]);
      await hosts.stop();
    },
  };
}

export type ParsingOptions = {
  readonly api: ParseApi;
  readonly parseFile: ParseFile;
  readonly parsingProcesses: number;
  readonly checkouts: Pick<GitCheckouts, 'newest'>;
  readonly ignoreSyntax?: IgnoreSyntax;
  /** A bundle was opened or closed. */
  readonly onBundles?: () => void;
  readonly log: OutboxLog;
};

export type Parsing = Role & {
  /** Roots of the bundles that are open, by name. */
  readonly roots: () => ReadonlyMap<string, string>;
};

/** The role without its surroundings. */
export function startParsing(options: ParsingOptions): Parsing {
  const open = new Map<string, OpenBundle>();
  const withSlot = makeSlots(options.parsingProcesses);
  const abort = new AbortController();
  const failures = createBundleFailures({ api: options.api, signal: abort.signal, log: options.log });

  const openBundle = (bundle: Bundle, path: string, version: string | null): OpenBundle => {
    const root = realpathSync(path);
    const outbox = new Outbox(bundle.name, options.api, options.log);
    let watch: TreeWatch | null = null;
    const parser = new BundleParser({
      name: bundle.name,
      root,
      shownRoot: path,
      version,
      ignoreSyntax: options.ignoreSyntax,
      parseFile: options.parseFile,
      withSlot,
      onReport: (report) => outbox.putReport(report),
      onListing: (files) => outbox.putListing(files),
      onUnreadable: () => {
        options.log.warn({ bundle: bundle.name, path }, 'the bundle can not be read; its Dags stay as they are');
        outbox.putFailure(failureText(bundle, null));
      },
      onScan: ({ folders }) => watch?.setFolders(folders),
      log: options.log,
    });
    watch = watchTree(root, (noticed) => parser.refresh(noticed));
    // Watched before it is read: what changes in between is then seen twice rather than never.
    watch.setFolders(['']);
    parser.refresh();
    return { path: bundle.path, root, parser, outbox, watch };
  };
  const keep = (name: string, bundle: OpenBundle) => {
    open.set(name, bundle);
    options.onBundles?.();
  };
  const closeBundle = async (name: string, bundle: OpenBundle) => {
    open.delete(name);
    options.onBundles?.();
    bundle.watch.close();
    await Promise.all([bundle.parser.stop(), bundle.outbox.stop()]);
  };
  /** Keeps a git bundle open at the commit that its tracking ref names: another commit is another folder. */
  const followGit = (bundle: Bundle, source: NonNullable<Bundle['git']>): Follower => {
    const stopped = new AbortController();
    const signal = AbortSignal.any([abort.signal, stopped.signal]);
    const follow = async () => {
      for (let commit: string | null = null; !signal.aborted; ) {
        try {
          const found = await options.checkouts.newest(source);
          if (signal.aborted) return;
          if (found.commit !== commit) {
            const before = open.get(bundle.name);
            if (before) await closeBundle(bundle.name, before);
            keep(bundle.name, openBundle(bundle, found.root, found.commit));
            commit = found.commit;
            options.log.info({ bundle: bundle.name, version: commit }, 'a git bundle is at another version');
            failures.forget(bundle.name);
          } else if (failures.forget(bundle.name)) open.get(bundle.name)?.parser.listAgain();
        } catch (error) {
          if (!signal.aborted) await failures.tell(bundle, error);
        }
        await delay(source.refresh_seconds * 1000, undefined, { signal }).catch(() => undefined);
      }
    };
    const running = follow();
    const stop = async () => {
      stopped.abort();
      await running;
    };
    return { source: JSON.stringify(source), stop };
  };
  const followers = new Map<string, Follower>();
  const followGits = async (list: BundleList): Promise<void> => {
    const wanted = new Map(list.bundles.flatMap((bundle) => (bundle.git ? [[bundle.name, bundle.git] as const] : [])));
    for (const [name, follower] of followers) {
      if (follower.source === JSON.stringify(wanted.get(name))) continue;
      followers.delete(name);
      await follower.stop();
      const bundle = open.get(name);
      if (bundle) await closeBundle(name, bundle);
    }
    for (const bundle of list.bundles)
      if (bundle.git && !followers.has(bundle.name)) followers.set(bundle.name, followGit(bundle, bundle.git));
  };
  /** Opens and closes bundles; parses anew what the server does not know as we reported it. False: one is not there yet. */
  const apply = async (list: BundleList): Promise<boolean> => {
    let complete = true;
    await followGits(list);
    const wanted = new Map(list.bundles.map((bundle) => [bundle.name, bundle]));
    for (const [name, bundle] of open) if (wanted.get(name)?.path !== bundle.path) await closeBundle(name, bundle);
    for (const [name, bundle] of wanted) {
      const known = open.get(name);
      if (!known) {
        if (bundle.git) continue;
        try {
          keep(name, openBundle(bundle, bundle.path, null));
          failures.forget(name);
        } catch (error) {
          complete = false;
          await failures.tell(bundle, error);
        }
      } else if (!known.parser.busy && !known.outbox.pending) {
        for (const [file, digest] of known.parser.reported())
          if (bundle.files[file] !== digest) known.parser.forget(file);
        known.parser.refresh();
      }
    }
    return complete;
  };
  const loop = async () => {
    for (let wait = FIRST_RETRY_MS; !abort.signal.aborted; ) {
      let next = BUNDLES_EVERY_MS;
      try {
        if (!(await apply(await options.api.bundles(abort.signal)))) next = MISSING_EVERY_MS;
        wait = FIRST_RETRY_MS;
      } catch (error) {
        if (abort.signal.aborted) return;
        options.log.warn({ err: error, waitMs: wait }, 'the list of bundles could not be read; it will be tried again');
        next = wait;
        wait = Math.min(wait * 2, BUNDLES_EVERY_MS / 6);
      }
      await delay(next, undefined, { signal: abort.signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    roots: () => new Map([...open].map(([name, { root }]) => [name, root])),
    async stop() {
      abort.abort(new Error('the dag-processor stops'));
      await running;
      await Promise.all([...followers.values()].map((follower) => follower.stop()));
      await Promise.all([...open].map(([name, bundle]) => closeBundle(name, bundle)));
    },
  };
}
