/**
 * Keeps what the server knows of one bundle equal to its folder. Each file is parsed when it, or something that went into
 * its module, has other content than at its last parse; a file that could not be bundled is tried again with any change,
 * since what it lacks may be what has come.
 *
 * What a file without a Dag is: an error if it mentions the SDK and no other file imports it (its author forgot the
 * export), else a helper, about which nothing is said.
 */
import { createHash } from 'node:crypto';
import type { ParseReport } from '@airlock/contract/supervisor-api';
import { Archives } from './archive.ts';
import type { IgnoreSyntax } from './ignore.ts';
import { plainImportError } from './import-error.ts';
import { Inputs } from './inputs.ts';
import type { ParsedFile, ParseFile } from './parse-child.ts';
import { isPython, type Scan, scanBundle } from './scan.ts';

const SDK_NAME = '@airlock/sdk';
/** Least time between two tries of a file that can't be bundled, where the folder changes all the time. */
const STUCK_RETRY_MS = 1_000;

export type BundleParserOptions = {
  readonly name: string;
  readonly root: string;
  readonly shownRoot: string;
  /** The commit that the folder is; null = it has no versions. */
  readonly version?: string | null;
  /** Of `.airflowignore` files; default `glob`. */
  readonly ignoreSyntax?: IgnoreSyntax;
  readonly parseFile: ParseFile;
  /** Runs a job when one of the parse slots of the whole process is free. */
  readonly withSlot: <T>(job: () => Promise<T>) => Promise<T>;
  readonly onReport: (report: ParseReport) => void;
  readonly onListing: (files: readonly string[]) => void;
  /** The folder can't be read; told once, and a listing follows when it can. */
  readonly onUnreadable: () => void;
  readonly onScan: (scan: Scan) => void;
  /** Default 1 s; for tests. */
  readonly stuckRetryMs?: number;
  readonly log: { info(fields: object, text: string): void; warn(fields: object, text: string): void };
};

type FileState = {
  /** Of the content at the last parse; null before the first. */
  digest: string | null;
  /** Name of each input, the file itself first, with the stamp that it had when `digest` was made. */
  stamps: Map<string, string>;
  /** Null until a parse has got as far as bundling. */
  inputs: readonly string[] | null;
  parsing: boolean;
  /** Number of changes of the folder that had been seen when the last parse began, and when that was. */
  generation: number;
  startedAt: number;
  /** A change came while it was being parsed. */
  again: boolean;
  result: {
    readonly parsed: ParsedFile;
    readonly source: string;
    readonly digest: string;
    readonly seconds: number;
  } | null;
  /** Of the last report that said more than "a helper"; null when there was none. */
  reportedDigest: string | null;
  /** What was said last about a file without Dags, so that it is said once. */
  saidHelper: boolean | null;
};

export class BundleParser {
  readonly #options: BundleParserOptions;
  readonly #files = new Map<string, FileState>();
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #listed: string | null = null;
  #inputs: Inputs;
  readonly #archives: Archives;
  #readable = true;
  #generation = 0;
  #folderStamp = '';
  #badRules = '';
  #stuckTimer: NodeJS.Timeout | null = null;

  constructor(options: BundleParserOptions) {
    this.#options = options;
    this.#inputs = new Inputs(options.root);
    this.#archives = new Archives(options.root);
  }

  /**
   * Looks at the folder, and starts the parses that are due. Cheap when nothing has changed.
   * @param noticed something is known to have changed, perhaps a file that is not looked at here.
   */
  refresh(noticed = false): void {
    if (this.#abort.signal.aborted) return;
    const scan = scanBundle(this.#options.root, this.#options.ignoreSyntax, this.#archives);
    if (scan === null) {
      if (this.#readable) this.#options.onUnreadable();
      this.#readable = false;
      this.#listed = null;
      // What is watched is gone, whatever comes under its name.
      this.#options.onScan({ files: [], folders: [], cut: false, badRules: [] });
      return;
    }
    this.#readable = true;
    this.#inputs = new Inputs(this.#options.root);
    this.#options.onScan(scan);
    if (scan.cut)
      this.#options.log.warn({ bundle: this.#options.name }, 'the bundle is too large; some files are left out');
    const badRules = scan.badRules.slice(0, 20).join(', ');
    if (badRules !== this.#badRules && badRules !== '')
      this.#options.log.warn(
        { bundle: this.#options.name, lines: badRules },
        'lines of .airflowignore that are no pattern, or one that takes too long to match, are left out',
      );
    this.#badRules = badRules;
    const present = new Set(scan.files);
    for (const path of [...this.#files.keys()]) if (!present.has(path)) this.#files.delete(path);
    for (const path of scan.files) if (!this.#files.has(path)) this.#files.set(path, newState());
    const listing = scan.files.join('\n');
    if (listing !== this.#listed) {
      this.#listed = listing;
      this.#options.onListing(scan.files);
    }
    const folderStamp = [...scan.folders, ...scan.files].map((name) => this.#inputs.stamp(name || '.')).join('\n');
    if (noticed || folderStamp !== this.#folderStamp) this.#generation++;
    this.#folderStamp = folderStamp;
    const changed = new Set(scan.files.filter((path) => this.#isChanged(path)));
    // Those that were saved come first: what could not be bundled only may have become possible.
    for (const path of changed) this.#start(path);
    for (const path of scan.files) if (!changed.has(path) && this.#isStuck(path)) this.#start(path);
    this.#sayHelpers();
  }

  /** Says again which files there are, whether or not they have changed. */
  listAgain(): void {
    this.#listed = null;
    this.refresh();
  }

  /** Parses the file again whatever its content: the server does not know the last report. */
  forget(path: string): void {
    const state = this.#files.get(path);
    if (state) state.digest = null;
  }

  /** Digest of each file about which the server has something to hold: Dags, or an error. */
  reported(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#files].flatMap(([path, s]) => (s.reportedDigest ? [[path, s.reportedDigest] as const] : [])),
    );
  }

  /** True while a parse is due or under way. */
  get busy(): boolean {
    return this.#running.size > 0;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('the dag-processor stops'));
    if (this.#stuckTimer !== null) clearTimeout(this.#stuckTimer);
    await Promise.allSettled(this.#running);
  }

  #names(path: string, state: FileState): readonly string[] {
    return [path, ...(state.inputs ?? [])];
  }

  /** Stamps first, since they cost no reading; contents only where a stamp differs. */
  #isChanged(path: string): boolean {
    const state = this.#files.get(path)!;
    if (state.digest === null) return true;
    const names = this.#names(path, state);
    const stamps = this.#inputs.stamps(names);
    if (names.every((name) => state.stamps.get(name) === stamps.get(name))) return false;
    state.stamps = stamps;
    return this.#inputs.digest(names) !== state.digest;
  }

  /** Not bundled, and the folder has changed since that attempt: it may lack just what has come. */
  #isStuck(path: string): boolean {
    const state = this.#files.get(path)!;
    if (state.inputs !== null || state.result === null || state.generation === this.#generation) return false;
    const wait = state.startedAt + (this.#options.stuckRetryMs ?? STUCK_RETRY_MS) - performance.now();
    if (wait <= 0) return true;
    this.#stuckTimer ??= setTimeout(() => {
      this.#stuckTimer = null;
      this.refresh();
    }, wait);
    return false;
  }

  #start(path: string): void {
    const state = this.#files.get(path)!;
    if (state.parsing) {
      state.again = true;
      return;
    }
    state.parsing = true;
    const job = this.#options
      .withSlot(() => this.#parse(path, state))
      .catch((error: unknown) => {
        if (!this.#abort.signal.aborted)
          this.#options.log.warn({ err: error, file: path }, 'a parse could not be started');
        // Tried again with the next look at the folder.
        state.digest = null;
      })
      .finally(() => {
        state.parsing = false;
        this.#running.delete(job);
        if (state.again && this.#files.get(path) === state && !this.#abort.signal.aborted) {
          state.again = false;
          if (this.#isChanged(path)) this.#start(path);
        }
        if (!this.busy) this.#sayHelpers();
      });
    this.#running.add(job);
  }

  async #parse(path: string, state: FileState): Promise<void> {
    const options = this.#options;
    const job = { bundleName: options.name, root: options.root, shownRoot: options.shownRoot, relative: path };
    // Stamped before the parse: a change during it is then seen as one.
    const start = new Inputs(options.root);
    const before = start.stamps(this.#names(path, state));
    const startedAtMs = Date.now();
    state.generation = this.#generation;
    state.startedAt = performance.now();
    const read = start.source(path);
    const parsed = await options.parseFile(job, this.#abort.signal);
    const source = read ?? parsed.source ?? '';
    if (this.#files.get(path) !== state) return;
    const seconds = Math.round(performance.now() - state.startedAt) / 1000;
    const after = new Inputs(options.root);
    state.inputs = parsed.bundled ? after.accept(parsed.inputs) : null;
    const names = this.#names(path, state);
    state.stamps = after.stamps(names);
    state.digest = after.digest(names);
    state.result = { parsed, source, digest: state.digest, seconds };
    const changed = (name: string) =>
      before.has(name) ? before.get(name) !== after.stamp(name) : after.modifiedSince(name, startedAtMs, Date.now());
    if (names.some(changed)) {
      // What the parse saw is older than what the digest says: it has to be done again.
      state.digest = null;
      state.again = true;
    }
    state.saidHelper = null;
    if (parsed.dags.length > 0 || this.#isOwnError(path, parsed, source))
      this.#report(path, state.result, parsed.importError);
    for (const warning of parsed.warnings) options.log.warn({ bundle: options.name, file: path }, warning);
  }

  /** An error of a file that is no Dag file and never was is its importer's affair. A Python file that is imported looks like one. */
  #isOwnError(path: string, parsed: ParsedFile, source: string): boolean {
    return (
      parsed.importError !== null &&
      (isPython(path) || source.includes(SDK_NAME) || parsed.inputs.some((name) => this.#mentionsSdk(name)))
    );
  }

  #mentionsSdk(name: string): boolean {
    return !name.includes('node_modules/') && this.#inputs.read(name)?.includes(SDK_NAME) === true;
  }

  /** Files without Dags: judged when nothing is under way, since only then it is known who imports whom. */
  #sayHelpers(): void {
    if (this.busy || this.#abort.signal.aborted) return;
    const imported = new Set([...this.#files].flatMap(([path, s]) => (s.inputs ?? []).filter((name) => name !== path)));
    for (const [path, state] of this.#files) {
      const { result } = state;
      if (result === null || result.parsed.dags.length > 0) continue;
      if (this.#isOwnError(path, result.parsed, result.source)) continue;
      const helper = isPython(path) || imported.has(path) || !result.source.includes(SDK_NAME);
      if (state.saidHelper === helper) continue;
      state.saidHelper = helper;
      const hint = "Write export default dag('id', { … }, (d) => { … }), or name the export.";
      this.#report(path, result, helper ? null : plainImportError(path, 'The file exports no Dag.', hint));
    }
  }

  #report(path: string, result: NonNullable<FileState['result']>, importError: string | null): void {
    const { parsed } = result;
    const state = this.#files.get(path);
    if (state) state.reportedDigest = parsed.dags.length > 0 || importError !== null ? result.digest : null;
    const module = parsed.moduleCode === null ? null : { hash: sha256(parsed.moduleCode), code: parsed.moduleCode };
    this.#options.log.info(
      {
        bundle: this.#options.name,
        file: path,
        dags: parsed.dags.length,
        seconds: result.seconds,
        failed: importError !== null,
      },
      'parsed a Dag file',
    );
    this.#options.onReport({
      relative_fileloc: path,
      inputs_digest: result.digest,
      ...(this.#options.version && { bundle_version: this.#options.version }),
      dags: [...parsed.dags],
      module,
      source: result.source,
      import_error: importError,
      warnings: [...parsed.warnings],
      ...(parsed.dagWarnings?.length ? { dag_warnings: [...parsed.dagWarnings] } : {}),
      ...(Object.keys(parsed.timetables ?? {}).length > 0 ? { timetables: parsed.timetables } : {}),
      parse_seconds: result.seconds,
    });
  }
}

function newState(): FileState {
  return {
    digest: null,
    stamps: new Map(),
    inputs: null,
    parsing: false,
    generation: 0,
    startedAt: 0,
    again: false,
    result: null,
    reportedDigest: null,
    saidHelper: null,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
