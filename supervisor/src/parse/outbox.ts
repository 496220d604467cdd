/**
 * What the server has yet to hear about one bundle: the last report of each file, and the last listing, or why there is none.
 * Newer replaces older; what could not be sent is sent again, for as long as it takes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ParseReport } from '@airlock/contract/supervisor-api';
import { type ParseApi, ReportRefused } from './api.ts';
import { plainImportError } from './import-error.ts';

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 10_000;

type Listing = { readonly files: readonly string[] } | { readonly failure: string };
export type OutboxLog = { info(fields: object, text: string): void; warn(fields: object, text: string): void };

export class Outbox {
  readonly #bundle: string;
  readonly #api: ParseApi;
  readonly #log: OutboxLog;
  readonly #abort = new AbortController();
  readonly #reports = new Map<string, ParseReport>();
  /** Whose Dags the server would not take: perhaps since another file has the same id, which may change. */
  readonly #refused = new Map<string, ParseReport>();
  #listing: Listing | null = null;
  #sending: Promise<void> | null = null;

  constructor(bundle: string, api: ParseApi, log: OutboxLog) {
    this.#bundle = bundle;
    this.#api = api;
    this.#log = log;
  }

  putReport(report: ParseReport): void {
    this.#refused.delete(report.relative_fileloc);
    this.#reports.set(report.relative_fileloc, report);
    this.#wake();
  }

  putListing(files: readonly string[]): void {
    this.#listing = { files };
    // A report on a file that is gone would bring its Dags back.
    const present = new Set(files);
    for (const kept of [this.#reports, this.#refused]) {
      for (const path of [...kept.keys()]) if (!present.has(path)) kept.delete(path);
    }
    this.#wake();
  }

  /** The bundle can't be read: in the place of a listing. */
  putFailure(text: string): void {
    this.#listing = { failure: text };
    this.#wake();
  }

  /** True while the server has not heard everything. */
  get pending(): boolean {
    return this.#sending !== null;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('the dag-processor stops'));
    await this.#sending;
  }

  #wake(): void {
    if (this.#sending !== null || this.#abort.signal.aborted) return;
    this.#sending = this.#drain()
      .catch((error: unknown) => {
        if (!this.#abort.signal.aborted)
          this.#log.warn({ err: error, bundle: this.#bundle }, 'sending parse reports failed');
      })
      .finally(() => {
        this.#sending = null;
        if (this.#reports.size > 0 || this.#listing !== null) this.#wake();
      });
  }

  async #drain(): Promise<void> {
    for (let wait = FIRST_WAIT_MS; !this.#abort.signal.aborted; ) {
      const next = this.#take();
      if (next === null) return;
      try {
        await next.send();
        wait = FIRST_WAIT_MS;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        next.putBack(error);
        this.#log.warn(
          { err: error, bundle: this.#bundle, waitMs: wait },
          'the server could not be told; it will be tried again',
        );
        await delay(wait, undefined, { signal: this.#abort.signal }).catch(() => undefined);
        wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      }
    }
  }

  #take(): { send: () => Promise<void>; putBack: (error: unknown) => void } | null {
    const listing = this.#listing;
    if (listing !== null) {
      this.#listing = null;
      return {
        send: async () => {
          const { signal } = this.#abort;
          if ('failure' in listing) return await this.#api.failure(this.#bundle, listing.failure, signal);
          await this.#api.listing(this.#bundle, listing.files, signal);
          this.#retryRefused(null);
        },
        putBack: () => {
          this.#listing ??= listing;
        },
      };
    }
    const [report] = this.#reports.values();
    if (report === undefined) return null;
    this.#reports.delete(report.relative_fileloc);
    return {
      send: () => this.#send(report),
      putBack: (error) => {
        if (this.#reports.has(report.relative_fileloc)) return;
        const again = error instanceof ReportRefused ? smaller(report, error) : report;
        if (again !== null) this.#reports.set(report.relative_fileloc, again);
      },
    };
  }

  /** What was refused is said again once another file has changed. A refusal changes nothing, so this comes to an end. */
  #retryRefused(cause: string | null): void {
    for (const [path, report] of [...this.#refused]) {
      if (path === cause || this.#reports.has(path)) continue;
      this.#refused.delete(path);
      this.#reports.set(path, report);
    }
  }

  async #send(report: ParseReport): Promise<void> {
    const answer = await this.#api.report(this.#bundle, report, this.#abort.signal);
    const versions = answer.dags.map(
      (dag) => `${dag.dag_id} v${dag.version_number}${dag.changed ? '' : ' (unchanged)'}`,
    );
    const fields = { bundle: this.#bundle, file: report.relative_fileloc, dags: versions };
    if (answer.import_error !== null && report.import_error === null) {
      this.#refused.set(report.relative_fileloc, report);
      this.#log.warn({ ...fields, error: answer.import_error }, 'the server refused a Dag');
      return;
    }
    this.#refused.delete(report.relative_fileloc);
    this.#log.info(fields, 'the server stored a Dag file');
    if (answer.dags.some((dag) => dag.changed) || report.dags.length === 0) this.#retryRefused(report.relative_fileloc);
  }
}

/**
 * What to send where the server will not have a report as it is: an import error that says so. A refusal that is not about
 * the report (a token, a server that starts) keeps it.
 */
function smaller(report: ParseReport, refusal: ReportRefused): ParseReport | null {
  if (refusal.status !== 413 && refusal.status !== 422) return report;
  // The second refusal would be the same.
  if (report.dags.length === 0 && report.module === null) return null;
  const message = refusal.status === 413 ? 'The Dags of this file are too large for the server.' : refusal.message;
  return {
    ...report,
    dags: [],
    module: null,
    source: '',
    import_error: plainImportError(report.relative_fileloc, message, 'Import less data, or split the file.'),
  };
}
