/**
 * One Dag file and what it imports as one module. Runs inside the sandbox of the parse, so that it reads what the
 * bundle shows and nothing else.
 */
import { posix } from 'node:path';
import { type BuildFailure, buildSync, type Message } from 'esbuild';
import { type ImportProblem, ParseProblem } from './problem.ts';

export type BundledFile = {
  readonly code: string;
  /** Files that went in besides the entry, relative to the bundle root, sorted. */
  readonly inputs: readonly string[];
};

/** Kinds of files that may be imported as text. */
const TEXT_SUFFIXES = ['.txt', '.csv', '.tsv', '.sql', '.md', '.html', '.xml', '.yaml', '.yml', '.graphql', '.geojson'];
/** CommonJS packages call `require` of Node's own modules; an ES module has none unless it makes one. */
const REQUIRE_BANNER =
  "import { createRequire as __airlockRequire } from 'node:module';" +
  "const require = __airlockRequire('file:///airlock-bundle/'), __filename = '/airlock-bundle/module.mjs', __dirname = '/airlock-bundle';";

/** @throws ParseProblem that names file, line and column of what is wrong */
export function bundleFile(bundleRoot: string, relativeFile: string): BundledFile {
  const first = build(bundleRoot, relativeFile, '');
  // Made again with the banner only for the few modules that need it: it costs each start of such a task.
  return first.code.includes('Dynamic require of "') ? build(bundleRoot, relativeFile, REQUIRE_BANNER) : first;
}

function build(bundleRoot: string, relativeFile: string, banner: string): BundledFile {
  try {
    const result = buildSync({
      absWorkingDir: bundleRoot,
      entryPoints: [`./${relativeFile}`],
      outfile: `${bundleRoot}/.airlock-module.mjs`,
      write: false,
      bundle: true,
      metafile: true,
      format: 'esm',
      platform: 'node',
      target: 'node22',
      external: ['@airlock/sdk'],
      loader: Object.fromEntries(TEXT_SUFFIXES.map((suffix) => [suffix, 'text' as const])),
      sourcemap: 'inline',
      sourcesContent: false,
      legalComments: 'none',
      charset: 'utf8',
      logLevel: 'silent',
      banner: { js: banner },
    });
    const inputs = Object.keys(result.metafile.inputs).filter((path) => path !== relativeFile);
    refuseOutside(inputs, relativeFile);
    refuseSdkParts(
      Object.values(result.metafile.outputs).flatMap((output) => output.imports),
      relativeFile,
    );
    return { code: result.outputFiles[0]!.text, inputs: inputs.sort() };
  } catch (error) {
    const messages = (error as Partial<BuildFailure>).errors;
    if (!Array.isArray(messages) || messages.length === 0) throw error;
    throw new ParseProblem(problemOf(messages as Message[], relativeFile));
  }
}

/** Packages may lie above the bundle, as npm puts them there; everything else has to be inside. */
function refuseOutside(inputs: readonly string[], file: string): void {
  const outside = inputs.find(
    (path) => (path.startsWith('../') || posix.isAbsolute(path)) && !path.includes('node_modules/'),
  );
  if (outside === undefined) return;
  refuse(file, `${outside} lies outside of the bundle.`, 'Move it into the Dag folder, or make it a package.');
}

/** The bundler leaves all that begins with the SDK's name to the process; that has the SDK itself only. */
function refuseSdkParts(imports: ReadonlyArray<{ readonly path: string }>, file: string): void {
  const part = imports.find(({ path }) => path.startsWith('@airlock/sdk/'))?.path;
  if (part === undefined) return;
  const hint = 'A Dag file imports @airlock/sdk; @airlock/sdk/testing is for tests beside it (*.test.ts).';
  refuse(file, `${part} can not be imported by a Dag file.`, hint);
}

function refuse(file: string, message: string, hint: string): never {
  throw new ParseProblem({ message, file, line: null, column: null, hint, stack: '' });
}

function problemOf(messages: readonly Message[], file: string): ImportProblem {
  const first = messages[0]!;
  const place = first.location;
  const more = messages.length > 1 ? ` (and ${messages.length - 1} more)` : '';
  return {
    message: `${first.text}${more}`,
    file: place?.file ?? file,
    line: place?.line ?? null,
    column: place ? place.column + 1 : null,
    hint: hintOf(first),
    stack: place ? codeFrame(place.line, place.column, place.length, place.lineText) : '',
  };
}

function hintOf(message: Message): string {
  const missing = /^Could not resolve "(.+)"$/.exec(message.text)?.[1];
  if (missing === undefined) {
    return /No loader is configured for "(.+?)" files/.test(message.text)
      ? `A Dag file may import code, JSON and text (${TEXT_SUFFIXES.join(' ')}).`
      : 'Correct the syntax; the last version that could be parsed stays in force.';
  }
  if (missing.startsWith('.') || missing.startsWith('/')) {
    return 'Check the path and the suffix. Only files inside the Dag folder can be imported.';
  }
  const name = missing
    .split('/')
    .slice(0, missing.startsWith('@') ? 2 : 1)
    .join('/');
  return `Install the package beside the Dags: npm install ${name}`;
}

function codeFrame(line: number, column: number, length: number, text: string): string {
  const number = String(line);
  const shown = text.slice(0, 200);
  return `${number} | ${shown}\n${' '.repeat(number.length)} | ${' '.repeat(column)}${'^'.repeat(Math.max(1, Math.min(length, 80)))}`;
}
