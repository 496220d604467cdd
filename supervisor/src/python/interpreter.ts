/**
 * Finds the user's Python and what a sandboxed child must see of it, by looking at files alone: nothing of it is run here,
 * since starting an interpreter runs code of its packages, and we may be root.
 */
import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { AppError } from '@airlock/contract/errors';

export type Interpreter = {
  /** What is started, absolute: inside the virtual environment, where there is one. */
  readonly program: string;
  /** Real paths of folders and files that it needs. */
  readonly shown: readonly string[];
  /** Links between `program` and the real file. */
  readonly links: ReadonlyArray<{ readonly path: string; readonly target: string }>;
};

const NAMES = ['python3', 'python'];
const MAX_LINKS = 16;
/** Prefixes that every child sees already. */
const SYSTEM = ['/', '/usr'];

function unavailable(text: string): AppError {
  return new AppError('PYTHON_UNAVAILABLE', { public: text });
}

function kindOf(path: string): 'file' | 'folder' | null {
  try {
    const stat = statSync(path);
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : null;
  } catch {
    return null; // not there, not for us to see, or a link without an end
  }
}
const isFile = (path: string) => kindOf(path) === 'file';
const isFolder = (path: string) => kindOf(path) === 'folder';

/** A binary, and no script that looks for one: shims of version managers want the whole home of their user. */
function isBinary(path: string): boolean {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(path, 'r');
    const magic = Buffer.alloc(4);
    readSync(descriptor, magic, 0, 4, 0);
    return magic.toString('latin1') === '\x7fELF';
  } catch {
    return false;
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

function onPath(names: readonly string[], searchPath: string): string | null {
  for (const folder of searchPath.split(':')) {
    if (!isAbsolute(folder)) continue;
    for (const name of names) if (isBinary(join(folder, name))) return join(folder, name);
  }
  return null;
}

/** @throws AppError PYTHON_UNAVAILABLE */
function locate(option: string | null, searchPath: string): string {
  if (option === null || !option.includes('/')) {
    const found = onPath(option === null ? ['python3'] : [option], searchPath);
    if (found !== null) return found;
    throw unavailable(`There is no program ${option ?? 'python3'} on PATH.`);
  }
  if (!isAbsolute(option)) throw unavailable(`[python] interpreter is no absolute path: ${option}`);
  const candidates = isFolder(option) ? NAMES.map((name) => join(option, 'bin', name)) : [option];
  const program = candidates.find(isFile);
  if (program === undefined) throw unavailable(`[python] interpreter names ${option}, where there is no Python.`);
  if (!isBinary(program)) throw unavailable(`${program} is a script, and no Python interpreter itself.`);
  return program;
}

/** The installation that `bin/python` belongs to, when it looks like one; never a folder that only happens to be above. */
function installation(folder: string): string | null {
  const prefix = dirname(folder);
  if (basename(folder) !== 'bin' || SYSTEM.includes(prefix)) return null;
  const library = join(prefix, 'lib');
  const complete = isFolder(library) && readdirSync(library).some((name) => /^python3\.\d+$/.test(name));
  return complete ? realpathSync(prefix) : null;
}

/** `home` of a virtual environment: the bin folder of the Python that it was made from. */
function homeOf(environment: string): string | null {
  const line = /^home\s*=\s*(.+)$/m.exec(readFileSync(join(environment, 'pyvenv.cfg'), 'utf8'));
  return line === null ? null : line[1]!.trim();
}

/**
 * @param option `[python] interpreter`
 * @param searchPath PATH of the worker
 * @throws AppError PYTHON_UNAVAILABLE saying why there is none
 */
export function findInterpreter(option: string | null, searchPath: string): Interpreter {
  const located = locate(option, searchPath);
  // Folders by their real names, so that one link a step is left: that of the file itself.
  const program = join(realpathSync(dirname(located)), basename(located));
  const links: Array<Interpreter['links'][number]> = [];
  const shown = new Set<string>();
  let at = program;
  for (let step = 0; lstatSync(at).isSymbolicLink(); step++) {
    if (step === MAX_LINKS) throw unavailable(`${located} is a link without an end.`);
    const target = readlinkSync(at);
    links.push({ path: at, target });
    const next = resolve(dirname(at), target);
    at = join(realpathSync(dirname(next)), basename(next));
  }
  shown.add(at);
  const environment = dirname(dirname(program));
  const folders = [dirname(program), dirname(at)];
  if (existsSync(join(environment, 'pyvenv.cfg'))) {
    shown.add(environment);
    const home = homeOf(environment);
    if (home !== null && isFolder(home)) folders.push(realpathSync(home));
  }
  for (const folder of folders) {
    const prefix = installation(folder);
    if (prefix !== null) shown.add(prefix);
  }
  return { program, shown: [...shown], links };
}

/** Where packages are installed to, below a prefix. */
function packageFolders(prefix: string): readonly string[] {
  const library = join(prefix, 'lib');
  if (!isFolder(library)) return [];
  const versions = readdirSync(library).filter((name) => /^python3(?:\.\d+)?$/.test(name));
  return versions.flatMap((version) => ['site-packages', 'dist-packages'].map((name) => join(library, version, name)));
}

/**
 * Names the state of an interpreter's files, so far as a few looks can tell: another program, another environment, or a
 * package that was installed, upgraded or removed. A file that was edited in its place is not seen.
 * @param paths further folders of packages
 */
export function interpreterStamp({ program, shown, links }: Interpreter, paths: readonly string[]): string {
  const configs = shown.map((path) => join(path, 'pyvenv.cfg'));
  const looked = [program, ...shown, ...configs, ...shown.flatMap(packageFolders), ...paths];
  const stats = looked.map((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? path : `${path} ${stat.ino} ${stat.size} ${stat.mtimeMs}`;
  });
  return JSON.stringify([stats, links]);
}
