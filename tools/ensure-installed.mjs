// Runs before `npm start` and `npm test`, on whatever Node the machine has (20 or newer), before anything is installed:
// plain JavaScript, no dependency. When the packages of package-lock.json are there it says nothing and costs a few
// milliseconds; otherwise it calls npm install. `--stamp` (the root package's postinstall) only notes that npm has just succeeded.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..');
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.airlock-installed');
const lockFile = join(root, '.cache', 'install.lock');

/** What must be equal for the installed packages to be the right ones. */
function wantedStamp() {
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  return `${hash} ${process.platform}-${process.arch}\n`;
}

function isInstalled() {
  if (!existsSync(join(modules, '.bin', 'node'))) return false;
  try {
    return readFileSync(stampFile, 'utf8') === wantedStamp();
  } catch {
    return false; // no stamp: installed halfway, or by other means
  }
}

function fail(message) {
  process.stderr.write(`airlock: ${message}\n`);
  process.exit(1);
}

/** Two commands started at once in a fresh clone must not install over each other. */
function takeTurn() {
  mkdirSync(join(root, '.cache'), { recursive: true });
  for (let waited = 0; ; waited++) {
    try {
      const file = openSync(lockFile, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!holderLives()) rmSync(lockFile, { force: true });
    else if (waited >= 1200)
      fail(`another installation holds ${lockFile} since ten minutes; remove the file if it is not running`);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  }
}

function holderLives() {
  try {
    const pid = Number(readFileSync(lockFile, 'utf8'));
    if (!(pid > 0)) return true; // being written just now
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function install() {
  if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node 20 or newer is needed; this is ${process.version}`);
  const supported = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).optionalDependencies)
    .filter((name) => name.startsWith('node-'))
    .map((name) => name.slice('node-'.length));
  const here = `${process.platform}-${process.arch}`;
  if (!supported.includes(here)) {
    fail(
      `no Node 26 package for ${here}. Airlock runs on ${supported.join(' and ')} (glibc): its isolation needs Linux.`,
    );
  }
  takeTurn();
  process.on('exit', () => rmSync(lockFile, { force: true }));
  if (isInstalled()) return; // somebody else did it while we waited
  process.stderr.write(
    'airlock: installing packages (npm install); needed once, and after package-lock.json changed\n',
  );
  // Not `npm ci`: a lock file written under install-strategy=linked leaves out the packages of other platforms, and
  // `npm ci` (11.19) calls that out of step. `npm install` keeps every version that the lock file names.
  const npm = process.env.npm_execpath;
  const [program, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const result = spawnSync(program, [...args, 'install', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2], // standard output belongs to the command that follows
  });
  if (result.error || result.status !== 0) {
    fail(
      `npm install failed (${result.error?.message ?? `status ${result.status ?? result.signal}`}); its message is above`,
    );
  }
  if (!existsSync(join(modules, '.bin', 'node'))) {
    fail(
      `npm did not install node-${here}. Was it called with --omit=optional? Remove node_modules and run npm install.`,
    );
  }
  writeFileSync(stampFile, wantedStamp());
  if (!existsSync(join(root, '.cache', 'services'))) warm();
}

/** Loads each service once, so that the first start is a warm one. Nothing depends on it. */
function warm() {
  const entry = join(root, 'standalone', 'bin', 'warm-cache.ts');
  const args = ['--disable-warning=ExperimentalWarning', entry];
  const env = { ...process.env, NODE_COMPILE_CACHE: join(root, '.cache', 'compile') };
  spawnSync(join(modules, '.bin', 'node'), args, { cwd: root, env, stdio: 'ignore', timeout: 60_000 });
}

if (process.argv[2] === '--stamp') {
  if (existsSync(join(modules, '.bin', 'node'))) {
    writeFileSync(stampFile, wantedStamp());
    warm();
  }
} else if (!isInstalled()) {
  install();
}
