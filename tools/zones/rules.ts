/** The checks. Each returns sentences; none means that the rule holds. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FactsOf, Reached } from './closure.ts';
import { GLOBAL_POWERS } from './facts.ts';
import type { FolderRule, PackageRule, ThirdPartyException, ZoneTable } from './table.ts';
import { isTestFile, listSources, ourPackageOf, type Resolved, readManifest } from './workspace.ts';

type Resolve = (fromFile: string, specifier: string, kind: 'import' | 'require') => Resolved;
const isGlobalPower = (what: string): boolean => (GLOBAL_POWERS as readonly string[]).includes(what);

/** package.json and .npmrc: what the table allows, no more, so that a forbidden import does not even resolve. */
export function checkManifests(root: string, table: ZoneTable): string[] {
  const found: string[] = [];
  const npmrc = join(root, '.npmrc');
  if (!existsSync(npmrc) || !/^install-strategy=linked$/m.test(readFileSync(npmrc, 'utf8'))) {
    found.push('.npmrc: install-strategy=linked is missing');
  }
  for (const [name, rule] of Object.entries(table.packages)) {
    if (!existsSync(join(root, name, 'package.json'))) {
      found.push(`${name}/package.json: not found`);
      continue;
    }
    const manifest = readManifest(root, name);
    const declared = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies };
    for (const dependency of Object.keys(declared)) {
      const ours = ourPackageOf(dependency);
      const allowed = ours === null ? rule.npm.includes(dependency) : rule.imports.includes(ours);
      if (!allowed) found.push(`${name}/package.json: declares "${dependency}", which the table does not allow`);
    }
    for (const dependency of Object.keys(manifest.devDependencies ?? {})) {
      const ours = ourPackageOf(dependency);
      if (ours !== null ? !rule.imports.includes(ours) : ![...rule.npmTypes, ...rule.npm].includes(dependency)) {
        found.push(`${name}/package.json: declares "${dependency}" for development, which the table does not allow`);
      }
    }
    const exported =
      manifest.exports === undefined ? ['(everything: there is no exports map)'] : Object.keys(manifest.exports);
    for (const key of exported)
      if (!rule.exports.includes(key))
        found.push(`${name}/package.json: exports "${key}", which the table does not allow`);
    for (const key of rule.exports)
      if (!exported.includes(key)) found.push(`${name}/package.json: does not export "${key}", as the table says`);
  }
  return found;
}

/** Direct imports and powers of each source file, by package and by folder. */
export function checkSources(root: string, table: ZoneTable, factsOf: FactsOf, resolve: Resolve): string[] {
  const found: string[] = [];
  const usedExceptions = new Set<number>();
  const report = (file: string, line: number, of: string, why: string) => {
    const index = table.exceptions.findIndex((exception) => exception.file === file && exception.of === of);
    if (index >= 0) usedExceptions.add(index);
    else found.push(`${file}:${line}: "${of}" ${why}`);
  };
  for (const rule of table.folders) {
    if (listSources(root, rule.path).length === 0 && !existsSync(join(root, rule.path)))
      found.push(`folder ${rule.path}: not found`);
  }
  for (const [name, rule] of Object.entries(table.packages)) {
    const sources = listSources(root, name).filter((path) => !isTestFile(path));
    if (sources.length === 0) found.push(`package ${name}: holds no source; a check that finds nothing to check fails`);
    for (const file of sources) {
      const facts = factsOf(file, 'ours');
      for (const error of facts.errors) found.push(`${file}: can't be parsed: ${error}`);
      const folders = table.folders.filter((folder) => file.startsWith(`${folder.path}/`) || file === folder.path);
      for (const power of facts.powers) {
        if (!isGlobalPower(power.what)) report(file, power.line, power.what, 'is refused in our sources');
        else {
          if (!rule.globals.includes(power.what)) report(file, power.line, power.what, `is not a power of ${name}`);
          for (const folder of folders) {
            if (folder.globals && !folder.globals.includes(power.what))
              report(file, power.line, power.what, `is refused in ${folder.path}: ${folder.why}`);
          }
        }
      }
      for (const edge of facts.edges) {
        const target = resolve(file, edge.specifier, edge.kind === 'require' ? 'require' : 'import');
        const say = (why: string) => report(file, edge.line, edge.specifier, why);
        checkEdge(name, rule, folders, target, edge.specifier, say);
      }
    }
  }
  for (const [i, exception] of table.exceptions.entries()) {
    if (!usedExceptions.has(i))
      found.push(`exception ${exception.file} "${exception.of}": nothing needs it any more; remove it`);
    if (!hasDecision(root, exception.decision))
      found.push(`exception ${exception.file}: decision ${exception.decision} does not exist`);
  }
  if (table.exceptions.length > table.maxExceptions)
    found.push(`${table.exceptions.length} exceptions; the list may only shrink, and held ${table.maxExceptions}`);
  if (table.exceptions.length < table.maxExceptions)
    found.push(`maxExceptions is ${table.maxExceptions}, the list holds ${table.exceptions.length}: lower it`);
  return found;
}

function checkEdge(
  name: string,
  rule: PackageRule,
  folders: readonly FolderRule[],
  target: Resolved,
  specifier: string,
  say: (why: string) => void,
): void {
  if (target.kind === 'missing') {
    say(`does not resolve: ${target.why}`);
    return;
  }
  const within = (folder: FolderRule, allowed: readonly string[] | undefined, item: string) => {
    if (allowed && !allowed.includes(item)) say(`is refused in ${folder.path}: ${folder.why}`);
  };
  if (target.kind === 'builtin') {
    if (!rule.builtins.includes(target.name)) say(`is not a power of ${name}`);
    for (const folder of folders) within(folder, folder.builtins, target.name);
  } else if (target.kind === 'npm') {
    if (![...rule.npm, ...rule.npmTypes].includes(target.package)) say(`is not a dependency of ${name}`);
    for (const folder of folders) within(folder, folder.npm, target.package);
  } else {
    if (isTestFile(target.path)) say('is a file of the tests');
    const crosses = target.package !== name;
    if (crosses && !rule.imports.includes(target.package))
      say(`is closed to ${name}: it may not import ${target.package}`);
    if (crosses && !specifier.startsWith('@')) say(`reaches into ${target.package} by path; import it by name`);
    for (const folder of folders) {
      if (crosses) within(folder, folder.imports, target.package);
      if (folder.neverImports?.some((path) => target.path.startsWith(path)))
        say(`is refused in ${folder.path}: ${folder.why}`);
      const only = folder.only?.[target.package];
      if (crosses && only && !only.includes(target.path))
        say(`is refused in ${folder.path}: of ${target.package} only ${only.join(', ')}: ${folder.why}`);
    }
  }
}

function hasDecision(root: string, number: number): boolean {
  const prefix = String(number).padStart(4, '0');
  return listDecisions(root).some((name) => name.startsWith(prefix));
}

function listDecisions(root: string): string[] {
  const folder = join(root, 'docs/decisions');
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** The closure of one process against its `never` list, its `spawns` and the third-party exceptions. */
export function checkProcess(
  process: { process: string; never: readonly string[]; spawns: readonly string[] },
  reached: Reached,
  table: ZoneTable,
): string[] {
  const found: string[] = [];
  const say = (what: string, way: readonly string[]) =>
    found.push(`process ${process.process}: reaches "${what}", which it never may: ${way.join(' > ')}`);
  for (const never of process.never) {
    const file = never.startsWith('file:') ? never.slice('file:'.length) : null;
    if (file !== null) {
      for (const path of reached.files)
        if (path.startsWith(file)) found.push(`process ${process.process}: reaches "${path}", which it never may`);
      continue;
    }
    const way = never.startsWith('npm:')
      ? reached.npm.get(never.slice(4))
      : (reached.packages.get(never) ?? reached.builtins.get(never) ?? reached.powers.get(never));
    if (way) say(never, way);
  }
  for (const [named, file] of reached.entriesNamed) {
    if (!process.spawns.some((spawned) => isNamed(spawned, named)))
      found.push(`process ${process.process}: ${file} names "${named}", which is not among its spawns`);
  }
  for (const spawned of process.spawns) {
    if (![...reached.entriesNamed.keys()].some((named) => isNamed(spawned, named)))
      found.push(`process ${process.process}: nothing in it names "${spawned}"; remove it from its spawns`);
    if (!table.processes.some((other) => other.entry === spawned))
      found.push(`process ${process.process}: spawns "${spawned}", which is no process of the table`);
  }
  for (const [power, way] of reached.powers) {
    const [owner, what] = splitOwned(power);
    if (owner !== null && !table.thirdParty.some((row) => excuses(row, power))) {
      found.push(
        `process ${process.process}: third-party package ${owner} uses "${what}" without a reason in the table: ${way.join(' > ')}`,
      );
    }
  }
  for (const [specifier, way] of reached.missing) {
    const [owner, what] = splitOwned(specifier);
    if (owner === null) found.push(`process ${process.process}: "${specifier}" does not resolve: ${way.join(' > ')}`);
    else if (!table.unresolved.some((row) => excuses(row, specifier))) {
      found.push(
        `process ${process.process}: third-party package ${owner} imports "${what}", which does not resolve: ${way.join(' > ')}`,
      );
    }
  }
  return found;
}

/** True when the row is about `owner: what`; a star at the end of `of` stands for anything. */
export function excuses(row: ThirdPartyException, owned: string): boolean {
  const [owner, what] = splitOwned(owned);
  if (owner === null || platformless(owner) !== row.package) return false;
  return row.of.endsWith('*') ? what.startsWith(row.of.slice(0, -1)) : what === row.of;
}

/** Names of native parts without their platform, so that every platform gives the same result. */
export function platformless(name: string): string {
  return name
    .replace(/-linux-(?:x64|arm64)(?:-gnu|-musl)?$/, '-<platform>')
    .replace(/\/linux-(?:x64|arm64)$/, '/<platform>');
}

function isNamed(entry: string, named: string): boolean {
  return named.startsWith('*/') ? entry.endsWith(named.slice(1)) : entry === named;
}

/** `owner: what` in two; owner null for our own code. */
export function splitOwned(text: string): [string | null, string] {
  const at = text.indexOf(': ');
  return at < 0 ? [null, text] : [text.slice(0, at), text.slice(at + 2)];
}
