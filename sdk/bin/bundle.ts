/**
 * Makes `dist/runner.cjs`, `dist/parser.cjs` and `dist/triggers.cjs`, one file each: as some thirty sources that Node reads one by
 * one, a runner takes four times as long to start. They are CommonJS, because an ES module that imports one of Node's own is
 * given a copy of all its names, and making it runs every getter: `node:util` and `node:fs` then load what nobody asked for.
 *
 * Arguments: a text that names the sources' state, and a script of the caller that its children load first, which becomes
 * `dist/enter.cjs`. The text is written to `dist/stamp` last, so that a stamp that fits means files that are whole.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const bin = dirname(fileURLToPath(import.meta.url));
const dist = join(bin, '../dist');
const [stamp = '', enterScript] = process.argv.slice(2);

const shared = {
  outdir: dist,
  write: false,
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  define: { 'import.meta.dirname': '__dirname' },
  legalComments: 'none',
  logLevel: 'error',
} as const;
const programs = buildSync({
  ...shared,
  entryPoints: [join(bin, 'runner.ts'), join(bin, 'parser.ts'), join(bin, 'triggers.ts')],
  external: ['esbuild'],
});
// Loaded by `--require`: synchronously, before Node looks at the program.
const enter = enterScript ? buildSync({ ...shared, entryPoints: { enter: enterScript } }) : { outputFiles: [] };
mkdirSync(dist, { recursive: true });
/** Whole or not at all: another supervisor may be starting children from these files now. */
const replace = (path: string, content: string | Uint8Array) => {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode: 0o644 });
  renameSync(temporary, path);
};
for (const file of [...programs.outputFiles, ...enter.outputFiles]) replace(file.path, file.contents);
replace(join(dist, 'stamp'), stamp);
