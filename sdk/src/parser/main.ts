/**
 * The process that parses one Dag file and ends. Its sandbox has no network, no token, and shows the bundle read-only;
 * what it reports is checked by the supervisor and again by the server.
 */
import { readFileSync, statSync } from 'node:fs';
import type { ParseOutcome, StartParse, ToRunner } from '@airlock/contract/ipc/runner';
import { Channel, encodeFrame } from '../runner/channel.ts';
import { loadModule, prepareLoading } from '../runner/load-module.ts';
import { bundleFile } from './bundle.ts';
import { collectDags } from './collect.ts';
import { type ImportProblem, ParseProblem, problemOfThrown } from './problem.ts';

const MAX_SOURCE_BYTES = 4 * 1024 * 1024;

type Report = { -readonly [K in keyof ParseOutcome]: ParseOutcome[K] };

/** Serves this process's one parse. Called once, by bin/parser.ts. */
export function serveOneParse(): void {
  let report: Report | null = null;
  let finished = false;

  const finish = async () => {
    if (finished || report === null) return;
    finished = true;
    await channel.flush(fitting(report));
    process.exit(0);
  };
  const fail = (problem: ImportProblem) => {
    if (report !== null && !finished) Object.assign(report, { import_error: problem, dags: [], module: null });
  };
  const onFrame = (frame: Exclude<ToRunner, { type: 'answer' }>) => {
    if (frame.type !== 'parse' || report !== null) return;
    report = { type: 'parsed', dags: [], module: null, source: '', inputs: [], import_error: null, warnings: [] };
    const file = frame.relative_fileloc;
    refuseExit(() => {
      if (finished) return;
      const thrown = new Error('process.exit was called while the file was parsed.');
      fail({ ...problemOfThrown(thrown, file), message: thrown.message, hint: 'A Dag file must not end the process.' });
      finished = true;
      if (report !== null) channel.sendSync(fitting(report));
    });
    const failWith = (thrown: unknown) => fail(problemOfThrown(thrown, file));
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(event, (thrown: unknown) => {
        failWith(thrown);
        void finish();
      });
    }
    const onBundled = (inputs: string[]) => channel.send({ type: 'bundled', inputs });
    void parse(frame, report, onBundled).catch(failWith).then(finish);
  };
  const channel = new Channel(onFrame, () => reallyExit(finished ? 0 : 1));
  prepareLoading();
  channel.send({ type: 'idle', pid: process.pid });
}

const reallyExit = process.exit.bind(process);

/** From now on, `process.exit` in the author's code is reported, with the place of the call, before the process ends. */
function refuseExit(onExit: () => void): void {
  const end: typeof process.exit = (code) => {
    onExit();
    return reallyExit(code);
  };
  process.exit = end;
  process.on('exit', onExit);
}

/** Fills the report as far as it gets, so that a late failure still says what is known. @throws what goes wrong */
async function parse(start: StartParse, report: Report, onBundled: (inputs: string[]) => void): Promise<void> {
  if (statSync(start.file).size > MAX_SOURCE_BYTES) {
    throw new ParseProblem(
      problem(start, `The file is larger than ${MAX_SOURCE_BYTES / 1024 / 1024} MiB.`, 'Split it.'),
    );
  }
  report.source = readFileSync(start.file, 'utf8');
  const bundled = bundleFile(start.bundle_root, start.relative_fileloc);
  report.inputs = [...bundled.inputs];
  // Said before the author's code runs: it may never end, and then its inputs still tell when to try again.
  onBundled(report.inputs);
  const exports = await loadModule(start.relative_fileloc, bundled.code);
  const location = {
    fileloc: start.fileloc,
    relativeFileloc: start.relative_fileloc,
    disableBundleVersioning: start.disable_bundle_versioning,
  };
  const { documents, warnings } = collectDags(exports, location);
  report.warnings = [...warnings];
  if (documents.length > 0) {
    report.dags = [...documents];
    report.module = { code: bundled.code };
  }
}

function problem(start: StartParse, message: string, hint: string): ImportProblem {
  return { message, file: start.relative_fileloc, line: null, column: null, hint, stack: '' };
}

/** The report, or, where it is larger than a frame may be, one that says so. */
function fitting(report: Report): ParseOutcome {
  try {
    encodeFrame(report);
    return report;
  } catch {
    const message = 'The bundled file and its Dags are larger than 16 MiB together.';
    return {
      ...report,
      dags: [],
      module: null,
      source: '',
      import_error: {
        message,
        file: '',
        line: null,
        column: null,
        hint: 'Import less data; read it inside run.',
        stack: '',
      },
    };
  }
}
