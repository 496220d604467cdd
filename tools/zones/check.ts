/**
 * `npm run zones`: proves from the sources which power each package asks for and what each process can reach.
 * `--write` renews the committed result, tools/zones/reached.json; without it a difference is a failure, so that every new
 * power is a line in a diff. `--root FOLDER` checks another tree (the must-fail cases of tests/zones use it).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createFactReader, type Reached, walkClosure } from './closure.ts';
import { checkManifests, checkProcess, checkSources, excuses, platformless, splitOwned } from './rules.ts';
import { readTable } from './table.ts';
import { createResolver } from './workspace.ts';

const { values } = parseArgs({ options: { root: { type: 'string' }, write: { type: 'boolean', default: false } } });
const root = values.root ?? join(import.meta.dirname, '../..');
const resultFile = join(root, 'tools/zones/reached.json');

const withoutPlatform = (name: string): string => {
  const [owner, what] = splitOwned(name);
  return owner === null ? platformless(what) : `${platformless(owner)}: ${what}`;
};

/** One record per process; sorted, so that equal closures give equal bytes. */
function describe(reached: Reached): object {
  const sorted = (names: Iterable<string>) => [...new Set([...names].map(withoutPlatform))].sort();
  return {
    packages: sorted(reached.packages.keys()),
    npm: sorted(reached.npm.keys()),
    builtins: sorted(reached.builtins.keys()),
    powers: sorted(reached.powers.keys()),
    names_entries: sorted(reached.entriesNamed.keys()),
  };
}

const table = readTable(root);
const factsOf = createFactReader(root);
const resolve = createResolver(root, table);
const found = [...checkManifests(root, table), ...checkSources(root, table, factsOf, resolve)];
const record: Record<string, object> = {};
const usedReasons = new Set<string>();
for (const process of table.processes) {
  if (!existsSync(join(root, process.entry))) {
    found.push(`process ${process.process}: entry ${process.entry}: not found`);
    continue;
  }
  const reached = walkClosure(process.entry, factsOf, resolve);
  found.push(...checkProcess(process, reached, table));
  for (const key of [...reached.powers.keys(), ...reached.missing.keys()])
    if (splitOwned(key)[0] !== null) usedReasons.add(key);
  record[process.process] = describe(reached);
}
for (const row of [...table.thirdParty, ...table.unresolved]) {
  if (![...usedReasons].some((owned) => excuses(row, owned)))
    found.push(`third-party exception ${row.package} "${row.of}": nothing needs it any more; remove it`);
}

const text = `${JSON.stringify(record, null, 2)}\n`;
if (values.write) writeFileSync(resultFile, text);
else if (!existsSync(resultFile)) found.push('tools/zones/reached.json: not found; run: npm run zones -- --write');
else if (readFileSync(resultFile, 'utf8') !== text) {
  const before = new Set(readFileSync(resultFile, 'utf8').split('\n'));
  const now = text
    .split('\n')
    .filter((line) => !before.has(line))
    .map((line) => line.trim());
  found.push(
    `tools/zones/reached.json: differs from the sources (new: ${now.join(' ') || 'nothing; some line is gone'}); review, then run: npm run zones -- --write`,
  );
}
for (const sentence of found) console.error(sentence);
const processes = Object.keys(record).length;
console.log(
  found.length === 0
    ? `zones: ${Object.keys(table.packages).length} packages, ${processes} processes: every rule holds`
    : `zones: ${found.length} refused`,
);
process.exitCode = found.length === 0 ? 0 : 1;
